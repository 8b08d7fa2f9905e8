"""What a person reads while memory moves."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from ramferry.forecast.eta import MigrationSample, outlook_of
from ramferry.report.progress import Progress, eta, line, picture

MB, MIB = 1_000_000, 1 << 20

PAST = MigrationSample(0, "active", 1, 2048 * MIB, 600 * MIB, 0, 0, 0.0, None, 10 * MB)
NOW = MigrationSample(
    1, "active", 2, 2048 * MIB, 412 * MIB, 366 * MB, 310 * MB, 20.0 * MB, 120, 110 * MB
)


def test_one_line() -> None:
    assert line(NOW, outlook_of([PAST, NOW], 300)) == (
        "iteration 2, 412 MiB left, 100 MB/s on the wire, 366 MB/s of guest memory, ratio 2.82,"
        " downtime 120 ms, about 1 s left"
    )


def test_a_line_before_there_is_anything_to_say() -> None:
    empty = MigrationSample(0, "setup", 0, 0, 0, 0, 0, 0.0, None, None)
    assert line(empty, outlook_of([empty], 300)) == "setup"


def test_no_convergence_is_admitted() -> None:
    slow = replace(NOW, carried_bytes=95 * MB, dirty_rate=120.0 * MB)
    assert eta(slow, outlook_of([PAST, slow], 300)) == (
        "does not converge: dirties 120 MB/s, link carries 95 MB/s of guest memory"
    )


def test_before_the_first_page_there_is_no_time_to_tell() -> None:
    assert eta(PAST, outlook_of([PAST], 300)) == "waiting for the first pages"


def test_before_the_first_page_there_is_no_ratio() -> None:
    assert ", ratio" not in line(PAST, outlook_of([PAST], 300))


def test_a_standstill_is_admitted() -> None:
    still = [NOW, replace(NOW, seconds=NOW.seconds + 1)]
    assert eta(still[-1], outlook_of(still, 300)) == "no memory moves"


@pytest.mark.parametrize("status", ["device", "pre-switchover", "cancelling"])
def test_statuses_are_qemus_words(status: str) -> None:
    sample = replace(NOW, status=status)
    assert line(sample, outlook_of([PAST, sample], 300)).startswith(f"{status}, ")


def test_the_terminals_picture_says_the_same() -> None:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(picture("qatzip, relay pair, 8 channels", NOW, outlook_of([PAST, NOW], 300)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("qatzip, relay pair, 8 channels", "iteration 2", "412 MiB of 2.0 GiB left"):
        assert part in text
    assert "100 MB/s on the wire · 366 MB/s of guest memory · ratio 2.82" in text
    assert "about 1 s left" in text


@pytest.mark.parametrize("width", [80, 40, 12])
def test_no_line_of_the_picture_folds(width: int) -> None:
    """A picture that grows by a line makes the screen jump."""
    sample = replace(NOW, carried_bytes=123_456 * MB, wire_bytes=23_456 * MB, dirty_rate=1e12)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(picture("qatzip, relay pair, 8 channels", sample, outlook_of([PAST, sample], 1)))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 4
    assert all(len(one) <= width for one in lines)
    assert lines[2].endswith("…")


def test_the_figures_of_a_fast_link_fit_80_columns() -> None:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    sample = replace(NOW, carried_bytes=3_660 * MB, normal_bytes=3_100 * MB, wire_bytes=1_110 * MB)
    console.print(picture("qatzip", sample, outlook_of([PAST, sample], 300)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1100 MB/s on the wire · 3660 MB/s of guest memory · ratio 2.79 · downtime 120 ms" in (
        text
    )


def test_a_log_gets_a_line_now_and_then_and_a_terminal_is_left_clean() -> None:
    log = io.StringIO()
    with Progress(Console(file=log, width=20), 300) as progress:
        for tick in range(5):
            progress.show(replace(NOW, seconds=1 + tick / 5))
    assert log.getvalue().count("iteration 2") == 1
    assert log.getvalue().count("\n") == 1  # not folded at the width
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with Progress(console, 300) as progress:
        progress.show(NOW)
    assert "iteration 2" in screen.getvalue()
    assert "\x1b[?25h" in screen.getvalue()  # the cursor is back
