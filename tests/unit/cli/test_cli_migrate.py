"""The command: options, exit codes, where the table goes, what Ctrl-C does."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fakes_cli import Run, in_process, refused_untouched
from fakes_qmp import FakeQemu, Step

LONG = tuple(Step("active") for _ in range(2000))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scripted destination does not exit after a failure, as a real one does."""
    monkeypatch.setattr("ramferry.control.qemu.end.THROUGH_SECONDS", 0.1)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """``ramferry migrate`` with these arguments, in this process; its exit code."""
    return in_process(monkeypatch, "migrate")


def test_migrates_and_prints_the_table(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        FakeQemu(tmp_path / "s") as source,
        FakeQemu(tmp_path / "d", run_state="inmigrate") as destination,
    ):
        source.peer = destination
        options = ("--method", "zlib", "--relay", "none", "--json", tmp_path / "r.json")
        assert run(source.uri, destination.uri, *options) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("method  total  down-  through-")
    assert out.splitlines()[3].split()[:4] == ["zlib", "1", "2000", "40"]
    assert err.startswith("setup, 2 MiB left")
    (row,) = json.loads((tmp_path / "r.json").read_text())["results"]
    assert (row["method"], row["total_time_ms"], row["wire_bytes"]) == ("zlib", 2000, None)


def test_a_document_on_standard_output_has_it_to_itself(tmp_path: Path) -> None:
    with (
        FakeQemu(tmp_path / "s") as source,
        FakeQemu(tmp_path / "d", run_state="inmigrate") as destination,
    ):
        source.peer = destination
        options = (source.uri, destination.uri, "--method", "none", "--json", "-")
        ended = subprocess.run(
            [sys.executable, "-m", "ramferry", "migrate", *options],
            capture_output=True,
            text=True,
            check=True,
        )
    assert json.loads(ended.stdout)["results"][0]["backend"] == "QEMU 7.2.22"
    assert "through-" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--method", "lz4"), 2, "'lz4' is not one of"),
        (("--method", "qpl", "--level", 1), 2, "method qpl has no levels"),
        (("--level", 10), 2, "levels 1 to 9, level 10 was asked for"),
        (("--level", "most"), 2, "'most' is neither a number nor auto"),
        (("--method", "none", "--level", "auto"), 2, "and none has none: leave out --level"),
        (("--method", "auto", "--level", "auto"), 2, "leave out --level"),
        (("--level", "auto", "--accelerator", "require"), 2, "--level auto takes a device where"),
        (("--method", "auto", "--accelerator", "require"), 2, "--method auto takes a device where"),
        (("--member-size", "1M"), 2, "'1M' is not one of"),
        (("--method", "zlib", "--member-size", "packet"), 2, "method zlib has no members"),
        (
            ("--member-size", "packet", "--accelerator", "require"),
            2,
            "a QAT device has members of 64 KiB only",
        ),
        (("--channels", 0), 2, "1<=x<=255"),
        (("--max-bandwidth", "fast"), 2, "is no rate"),
        (("--via", "beta"), 2, "is no migration address"),
        (("--incoming", "fd:7"), 2, "is no migration address"),
        (("--timeout", 0), 2, "x>0"),
        (("--decide", 0), 2, "x>=0.1"),
        (("--decide", "nan"), 2, "is no number of seconds"),
        (("--json", "/nonexistent/r.json"), 2, "No such file"),
        ((), 3, "no QEMU answers at qmp:/nonexistent/s"),
    ],
)
def test_exit_codes_before_a_qemu_is_touched(
    run: Run,
    arguments: tuple[object, ...],
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refused_untouched(run, arguments, code, sentence, capsys)


@pytest.mark.parametrize(
    ("steps", "methods", "arguments", "code"),
    [
        (LONG, ("none", "zlib", "zstd"), ("--timeout", 0.05), 6),
        ((Step("active"), Step("failed")), ("none", "zlib", "zstd"), (), 5),
        ((), ("none",), (), 4),
    ],
)
def test_exit_codes(
    run: Run,
    tmp_path: Path,
    steps: tuple[Step, ...],
    methods: tuple[str, ...],
    arguments: tuple[object, ...],
    code: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with (
        FakeQemu(tmp_path / "s", steps=steps, methods=methods) as source,
        FakeQemu(tmp_path / "d", run_state="inmigrate") as destination,
    ):
        options = ("--method", "zlib", "--relay", "none", *arguments)
        assert run(source.uri, destination.uri, *options) == code
    assert capsys.readouterr().err.splitlines()[-1].startswith("ramferry: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_cancel(
    run: Run, tmp_path: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with (
        FakeQemu(tmp_path / "s", steps=LONG) as source,
        FakeQemu(tmp_path / "d", run_state="inmigrate") as destination,
    ):
        threading.Thread(
            target=lambda: (source.migrating.wait(), os.kill(os.getpid(), number))
        ).start()
        assert run(source.uri, destination.uri, "--method", "none") == 6
        assert "migrate_cancel" in source.commands()
    assert capsys.readouterr().err.endswith("ramferry: cancelled; the guest runs at the source\n")
    assert signal.getsignal(number) is before


def test_help_tells_units_defaults_and_exit_codes() -> None:
    text = subprocess.run(
        [sys.executable, "-m", "ramferry", "migrate", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for part in ("wire bytes per second", "[default: qatzip]", "Milliseconds", "Exit codes:"):
        assert part in text
