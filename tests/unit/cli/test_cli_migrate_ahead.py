"""``--method auto --relay none``: what is refused, what is sampled, what is set at both QEMUs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from fakes_cli import Run, in_process, refused_untouched
from fakes_qmp import FakeQemu, Refused
from ramferry import allowance
from ramferry.forecast import ahead
from ramferry.forecast.estimate import Conditions

BYTES = 4 << 20
LAYOUT = f"""FlatView #0
 AS "memory", root: system
  0000000000000000-{BYTES - 1:016x} (prio 0, ram): pc.ram
"""
TEXT = b"".join(b"%015d " % number for number in range(BYTES // 16))
NEW = (10, 0, 13)
AHEAD = ("--method", "auto", "--relay", "none")
LINK = (*AHEAD, "--link", "1M")
MORE = "relays at both ends (--method auto without --relay none) could change it as it goes"


class Source(FakeQemu):
    """A QEMU that has a guest's memory to give."""

    def __init__(self, path: Path, memory: bytes = TEXT, **more: Any) -> None:
        super().__init__(path, **more)
        self._bytes = memory
        self.number = 0
        """The signal that comes while it is sampled."""

    def _do_human_monitor_command(self, command_line: str) -> str:
        assert command_line == "info mtree -f"
        return LAYOUT

    def _do_pmemsave(self, val: int, size: int, filename: str) -> dict[str, Any]:
        if not self._bytes:
            raise Refused("Could not open: Permission denied")
        if self.number:
            os.kill(os.getpid(), self.number)
        Path(filename).write_bytes(self._bytes[val : val + size])
        return {}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """``ramferry migrate`` with these arguments, in this process; its exit code."""
    return in_process(monkeypatch, "migrate")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (AHEAD, 2, "add --link RATE with what it carries, such as 1Gbit"),
        ((*AHEAD, "--link", "fast"), 2, "is no rate"),
        (("--link", "1M"), 2, "--link is for --method auto with --relay none"),
        (("--method", "auto", "--link", "1M"), 2, "leave out --link"),
        (("--method", "zstd", "--relay", "none", "--link", "1M"), 2, "leave out --link"),
        ((*LINK, "--via", "h:1"), 2, "leave out --link"),
        ((*LINK, "--accelerator", "require"), 2, "--method auto takes a device where one pays"),
        ((*LINK, "--tls-creds", "/x"), 2, "no two relays meet here"),
        ((*LINK, "--level", 3), 2, "leave out --level"),
        ((*AHEAD, "--max-bandwidth", "1M"), 3, "no QEMU answers at qmp:/nonexistent/d"),
        (LINK, 3, "no QEMU answers at qmp:/nonexistent/d"),
    ],
)
def test_what_is_refused_before_a_qemu_is_touched(
    run: Run,
    arguments: tuple[object, ...],
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refused_untouched(run, arguments, code, sentence, capsys)


@pytest.mark.parametrize(
    ("source", "destination"), [("libvirt:guest", "qemu+ssh://h/system"), ("qmp:/s", "ssh://h/d")]
)
def test_where_relays_are_started_by_ssh_none_is_chosen_ahead(
    run: Run, source: str, destination: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(source, destination, *LINK) == 2
    assert "between QEMUs at qmp: addresses" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "version", "methods", "memory", "chosen"),
    [
        pytest.param(LINK, NEW, ("none", "zlib", "zstd"), TEXT, "zstd", id="the link's rate"),
        pytest.param(
            (*AHEAD, "--max-bandwidth", "1M"),
            NEW,
            ("none", "zlib", "zstd"),
            TEXT,
            "zstd",
            id="the cap's",
        ),
        pytest.param(LINK, (7, 2, 22), ("none", "zlib"), TEXT, "zlib", id="no zstd"),
        pytest.param(LINK, NEW, ("none", "zlib", "zstd"), bytes(BYTES), "none", id="zeros"),
    ],
)
def test_a_method_of_both_is_chosen_and_set(
    run: Run,
    tmp_path: Path,
    options: tuple[str, ...],
    version: tuple[int, int, int],
    methods: tuple[str, ...],
    memory: bytes,
    chosen: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with (
        Source(tmp_path / "s", memory, version=version, methods=methods) as source,
        FakeQemu(tmp_path / "d", run_state="inmigrate") as destination,
    ):
        source.peer = destination
        assert run(source.uri, destination.uri, *options) == 0
    key = "multifd-compression"
    for one in (source, destination):  # both had none before
        first = one.set_to("migrate-set-parameters", key)[:1]
        assert first == ([] if chosen == "none" else [chosen])
    out, err = capsys.readouterr()
    (note,) = [line for line in err.splitlines() if "chosen by forecast" in line]
    assert note.startswith(f"ramferry: {chosen}")
    assert " s over 1.0 MB/s for an idle guest" in note
    assert note.endswith(MORE)
    assert out.splitlines()[3].split()[0] == chosen
    level = source.set_to("migrate-set-parameters", f"multifd-{chosen}-level")
    assert not level or f"{chosen} {level[0]} chosen" in note


@pytest.mark.parametrize(
    ("options", "cores"),
    [
        pytest.param((), 0.75, id="the group's"),
        pytest.param(("--cpu-limit", 0.5), 0.5, id="a limit"),
        pytest.param(("--cpu-limit", 64), 0.75, id="a limit beyond the group's"),
    ],
)
def test_the_cores_are_those_that_the_sources_group_allows(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...],
    cores: float,
) -> None:
    reckoned: list[Conditions] = []
    foresee = ahead.foresee

    def seen(sample: Any, ladders: Any, conditions: Conditions, *more: Any) -> Any:
        reckoned.append(conditions)
        return foresee(sample, ladders, conditions, *more)

    monkeypatch.setattr(ahead, "foresee", seen)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(allowance, "quota", lambda pid=0: {os.getpid(): 0.75, 0: 1.5}[pid])
    methods = ("none", "zlib", "zstd")
    with (
        Source(tmp_path / "s", version=NEW, methods=methods) as source,
        FakeQemu(tmp_path / "d", run_state="inmigrate", version=NEW, methods=methods) as other,
    ):
        source.peer = other
        assert run(source.uri, other.uri, *LINK, *options) == 0
    assert [one.cores for one in reckoned] == [cores]


def test_where_they_have_only_none_nothing_is_sampled(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        Source(tmp_path / "s") as source,
        FakeQemu(tmp_path / "d", run_state="inmigrate") as destination,
    ):
        source.peer = destination
        assert run(source.uri, destination.uri, *AHEAD, "--max-bandwidth", "1M") == 0
    assert "pmemsave" not in source.commands()
    assert (
        "none is all that these QEMUs can do here by themselves, as the source, QEMU 7.2.22, caps"
        " memory before compression" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("memory", "number", "code", "sentence"),
    [
        (b"", 0, 8, "needs a sample of the guest, as `ramferry plan time` takes it, and the QEMU"),
        (TEXT, signal.SIGTERM, 6, "cancelled before the migration began; the guest was not"),
    ],
)
def test_without_a_sample_nothing_begins(
    run: Run,
    tmp_path: Path,
    memory: bytes,
    number: int,
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with (
        Source(tmp_path / "s", memory) as source,
        FakeQemu(tmp_path / "d", run_state="inmigrate") as destination,
    ):
        source.number = number
        assert run(source.uri, destination.uri, *LINK) == code
        assert "migrate" not in source.commands()
        assert not destination.commands()
    assert sentence in capsys.readouterr().err
