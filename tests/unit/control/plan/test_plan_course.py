"""A QEMU that is asked for pages and for its dirty rate, and its refusals."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from fakes_clock import stopping
from fakes_facts import FACTS
from ramferry.control.hosts import host
from ramferry.control.hosts.host import HERE, Elsewhere
from ramferry.control.hosts.process import Process
from ramferry.control.plan import course, dirty_rate, guest_memory
from ramferry.control.plan.course import TimeQuestion, look, plan_time
from ramferry.control.plan.dirty_rate import measure_dirty
from ramferry.control.plan.guest_memory import qemu_memory
from ramferry.control.qemu.end import QemuEnd
from ramferry.control.qemu.party import Party
from ramferry.errors import (
    Cancelled,
    HostError,
    MethodUnavailable,
    PeerTimeout,
    PeerUnreachable,
    UsageError,
)
from ramferry.forecast.costs import REFERENCE
from ramferry.forecast.estimate import Conditions
from ramferry.forecast.sampling import MemorySample
from ramferry.metrics.forecast import UNTOUCHED, Trial

FLAT = """FlatView #0
 AS "memory", root: system
  0000000000000000-0000000000001fff (prio 0, ram): pc.ram
  0000000100000000-0000000100001fff (prio 0, ram): pc.ram @0000000000002000
"""


class Guest:
    """A QEMU with 8 KiB below its hole and 8 KiB above."""

    def __init__(self, pid: int | None = None) -> None:
        process = Process(os.getpid() if pid is None else pid)
        self.party = Party("qmp:/vm", FACTS, HERE, process)
        self.saved: list[tuple[int, int]] = []
        self.answers: list[dict[str, Any]] = []
        self.save: Callable[[Path, int, int], None] = self.write
        self.asked: list[tuple[str, Any]] = []

    def write(self, file: Path, address: int, size: int) -> None:
        file.write_bytes(bytes([1 if address < 1 << 32 else 2]) * size)

    def execute(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        self.asked.append((command, arguments))
        if command == "human-monitor-command":
            return FLAT
        if command == "pmemsave":
            assert arguments is not None
            self.saved.append((arguments["val"], arguments["size"]))
            self.save(Path(arguments["filename"]), arguments["val"], arguments["size"])
        if command == "query-dirty-rate":
            return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return {}

    def wait_for_event(self, seconds: float) -> None:
        """Nothing comes."""

    @property
    def end(self) -> QemuEnd:
        return cast("QemuEnd", self)


def test_a_hole_is_stepped_over_and_nothing_is_left(tmp_path: Path) -> None:
    guest = Guest()
    with qemu_memory(guest.end, tmp_path) as (total, read):
        assert total == 16384
        assert read(4096, 8192) == b"\1" * 4096 + b"\2" * 4096
        assert read(8192, 8192) == b"\2" * 8192
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert guest.saved == [(4096, 4096), (1 << 32, 4096), (1 << 32, 8192)]
    assert not list(tmp_path.iterdir())


def refuse(file: Path, _address: int, _size: int) -> None:
    raise MethodUnavailable(
        f"the QEMU at qmp:/vm refuses pmemsave: Could not open '{file}': Permission denied"
    )


def end(*_: object) -> None:
    raise PeerUnreachable("the QMP connection qmp:/vm ended at pmemsave")


def link(file: Path, *_: object) -> None:
    file.symlink_to("/etc/hostname")


def pipe(file: Path, *_: object) -> None:
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("save", "kind", "sentence"),
    [
        (refuse, HostError, "Permission denied; give a folder that it may write in with --scratch"),
        (end, PeerUnreachable, "the QEMU ended while it was sampled"),
        (lambda *_: None, HostError, r"No such file or directory\), as where it sees another"),
        (lambda file, *_: file.write_bytes(b"short"), HostError, "ends after 5 bytes, where 4096"),
        (link, HostError, "Too many levels of symbolic links"),
        (pipe, HostError, "cannot read .*piece"),
    ],
    ids=["refused", "ended", "elsewhere", "short", "link", "pipe"],
)
def test_what_can_go_wrong_with_a_piece(
    tmp_path: Path,
    save: Callable[[Path, int, int], None],
    kind: type[Exception],
    sentence: str,
) -> None:
    guest = Guest()
    guest.save = save
    with (
        qemu_memory(guest.end, tmp_path) as (_, read),
        pytest.raises(kind, match=sentence),
    ):
        read(0, 4096)
    assert not list(tmp_path.iterdir())


def test_a_qemu_elsewhere_would_write_elsewhere() -> None:
    guest = Guest()
    guest.party = replace(guest.party, host=Elsewhere(), process=None)
    with pytest.raises(UsageError, match="not on this host"), qemu_memory(guest.end, None):
        pytest.fail("read")


def test_a_qemu_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_memory.os, "geteuid", lambda: os.getuid() + 1)
    with (
        pytest.raises(HostError, match=r"runs as another user .* as that user or as root"),
        qemu_memory(Guest().end, tmp_path),
    ):
        pytest.fail("read")
    assert not list(tmp_path.iterdir())


def test_the_dirty_rate_is_asked_until_it_is_measured() -> None:
    guest = Guest()
    guest.answers = [{"status": "measuring"}, {"status": "measured", "dirty-rate": 20}]
    assert measure_dirty(guest.end, 2, lambda: None) == 20 << 20
    assert guest.asked[0] == ("calc-dirty-rate", {"calc-time": 2, "sample-pages": 4096})


def test_a_dirty_rate_is_waited_for_by_a_clock_that_stands_still_with_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guest = Guest()
    guest.answers = [{"status": "measuring"}, {"status": "measured", "dirty-rate": 20}]
    assert measure_dirty(guest.end, 2, stopping(monkeypatch, dirty_rate)) == 20 << 20


def test_a_dirty_rate_that_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    guest = Guest()
    guest.answers = [{"status": "measured", "dirty-rate": -1}]
    with pytest.raises(MethodUnavailable, match="measured no dirty rate: give --dirty-rate"):
        measure_dirty(guest.end, 1, lambda: None)
    guest.answers = [{"status": "measuring"}]
    monkeypatch.setattr(dirty_rate, "DIRTY_SPARE", -0.95)
    with pytest.raises(PeerTimeout, match="did not finish calc-dirty-rate"):
        measure_dirty(guest.end, 1, lambda: None)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course.OtherLoad, "cores", lambda _: 0.0)


def test_a_busy_host_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ram").write_bytes(bytes(4096))
    monkeypatch.setattr(course.OtherLoad, "cores", lambda _: 1.04)
    plan = plan_time(question(tmp_path / "ram"), lambda _: None, threading.Event())
    assert plan.notes[-1].startswith("others use 1.0 cores here now; these times assume")


def question(file: Path, **more: Any) -> TimeQuestion:
    return TimeQuestion(str(file), Conditions(1e6, 2), (("zstd", None), ("none", None)), **more)


@pytest.mark.usefixtures("quiet")
def test_a_file_of_zeros_has_nothing_to_compress(tmp_path: Path) -> None:
    (tmp_path / "ram").write_bytes(bytes(1 << 20))
    told: list[str] = []
    plan = plan_time(question(tmp_path / "ram"), told.append, threading.Event())
    assert [one.method for one in plan.methods] == ["none"]
    assert plan.choice == "none"
    assert plan.notes == ("the sample holds nothing but zeros: there is nothing to compress",)
    assert told == ["drawing a sample", "trying none"]


@pytest.mark.usefixtures("quiet")
def test_little_content_is_said(tmp_path: Path) -> None:
    (tmp_path / "ram").write_bytes(os.urandom(1 << 16))
    plan = plan_time(question(tmp_path / "ram"), lambda _: None, threading.Event())
    assert plan.notes[0].startswith("only 64 KiB of content in the sample")
    assert len(plan.notes) == 1
    assert [one.method for one in plan.methods] == ["none", "zstd"]
    assert plan.choice == "none"


@pytest.mark.usefixtures("quiet")
def test_where_the_cores_decide_it_says_on_what_the_times_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ram").write_bytes(os.urandom(1 << 16))
    monkeypatch.setattr(course, "host_costs", lambda: REFERENCE.times(1.5))
    asked = replace(question(tmp_path / "ram"), conditions=Conditions(0.0, 2))
    plan = plan_time(asked, lambda _: None, threading.Event())
    assert plan.notes[-1].startswith("where the link does not limit, times count on what QEMUs")
    assert "counts 1.50 times here" in plan.notes[-1]


def test_each_level_that_is_asked_for_is_tried(tmp_path: Path) -> None:
    (tmp_path / "ram").write_bytes(b"".join(b"%07d " % number for number in range(1 << 16)))
    wanted = (("zstd", 9), ("zstd", None), ("qatzip", 6))
    asked = replace(question(tmp_path / "ram"), methods=wanted)
    found = look(asked, lambda _: None, threading.Event())
    assert list(found.trials) == [("none", None), *wanted]
    assert [one.level for one in found.trials.values()] == [None, 9, 1, 6]
    assert found.trials["zstd", 9].ratio != found.trials["zstd", None].ratio


def test_a_file_dirties_nothing(tmp_path: Path) -> None:
    (tmp_path / "ram").write_bytes(bytes(4096))
    with pytest.raises(UsageError, match="a file cannot tell a dirty rate"):
        plan_time(question(tmp_path / "ram", measure_dirty=1), print, threading.Event())


def test_a_wish_to_stop_is_heeded(tmp_path: Path) -> None:
    (tmp_path / "ram").write_bytes(bytes(1 << 20))
    stop = threading.Event()
    with pytest.raises(Cancelled, match="the guest was not touched"):
        plan_time(question(tmp_path / "ram"), lambda _: stop.set(), stop)


@pytest.mark.parametrize(
    ("one_host", "seen", "asked"),
    [(True, False, "packet"), (True, True, "auto"), (False, False, "auto")],
)
def test_packets_are_tried_as_a_migration_would_cut_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_host: bool, seen: bool, asked: str
) -> None:
    tried: dict[str, str] = {}

    def try_method(_: MemorySample, method: str, *__: object, **used: Any) -> Trial:
        tried[method] = used["member_size"]
        return UNTOUCHED

    monkeypatch.setattr(host, "may_accelerate", lambda policy: policy == "auto" and seen)
    monkeypatch.setattr(course, "try_method", try_method)
    (tmp_path / "ram").write_bytes(bytes(range(256)) * 64)
    conditions = Conditions(1e6, 2, one_host=one_host)
    methods = (("zstd", None), ("qatzip", None))
    look(TimeQuestion(str(tmp_path / "ram"), conditions, methods), print, threading.Event())
    assert tried == {"none": "auto", "zstd": "auto", "qatzip": asked}
