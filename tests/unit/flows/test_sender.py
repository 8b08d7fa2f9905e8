"""Live migrations that begin here: whole at a receiver, or still here."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fakes_clock import Clock
from fakes_ends import BUSY, DEADLINE, Here, Run, There, both, until
from fakes_source import STALL
from ramferry.codec import METHODS
from ramferry.errors import Cancelled, HostError, MigrationFailed, UsageError
from ramferry.flows.ends import send_record
from ramferry.flows.ends.precopy import Precopy, Rounds
from ramferry.flows.ends.send_record import SendRecord
from ramferry.flows.session import reminder
from ramferry.guest.state import GuestState
from ramferry.guest.workload import PATTERNS, Workload
from ramferry.ram.dirty import Wanted
from ramferry.transport.address import UnixAddress
from ramferry.wire.copying import vm_description
from ramferry.wire.packets import INITIAL_SIZE


def assert_moved(here: Here, there: There, run: Run) -> None:
    run.join()
    assert run.error is None, run.error
    result = there.result()
    assert result.completed, result.error
    assert result.machine == "ramferry-1"
    assert [note for note in there.notes if "works in software" not in note] == []
    assert not here.vcpu.running
    assert there.state == GuestState(here.vcpu.counter, here.vcpu.workload, True)
    for name in there.ram.blocks:
        assert np.array_equal(there.ram.blocks[name].pages, here.ram.blocks[name].pages), name
    pages = there.ram.blocks["ramferry.ram"].pages
    assert not len(here.vcpu.workload.bad_pages(pages, there.state.counter))
    assert run.statuses == ["setup", "active", "device", "completed"]
    progress = run.sender.progress()
    assert progress.remaining_bytes == 0
    assert progress.downtime_ms is not None
    assert 0 <= progress.downtime_ms <= progress.total_time_ms
    counters = progress.counters
    assert (counters.normal_pages, counters.zero_pages) == (
        result.counters.normal_pages,
        result.counters.zero_pages,
    )
    initial = INITIAL_SIZE * result.channels  # a receiver counts what comes behind it
    assert counters.bytes_out == result.counters.bytes_in + initial
    assert counters.rounds == result.counters.rounds == progress.dirty_sync_count + 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("channels", "tracker"), [(1, "digest"), (3, "uffd-wp"), (16, "auto")])
def test_a_busy_guest_arrives_whole(
    tmp_path: Path, method: str, channels: int, tracker: Wanted
) -> None:
    with both(tmp_path, BUSY, tracker) as (here, there):
        until(lambda: here.vcpu.counter > 100)
        # a link on which the guest's writes take several rounds
        run = Run(
            here, there.address, Precopy(100), method=method, channels=channels, max_bandwidth=60e6
        )
        assert_moved(here, there, run)
        assert run.sender.progress().dirty_sync_count > 1
        assert here.trackers[0].name == ("digest" if tracker == "digest" else "uffd-wp")


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("changed", [16, 4096])
def test_every_workload(tmp_path: Path, pattern: str, changed: int) -> None:
    work = Workload(20e6, pattern, changed)  # type: ignore[arg-type]
    with both(tmp_path, work) as (here, there):
        until(lambda: here.vcpu.counter > 3000)
        run = Run(here, there.address, Precopy(), method="zstd")
        assert_moved(here, there, run)


def test_an_idle_guest_takes_two_rounds_and_its_description_is_found(tmp_path: Path) -> None:
    with both(tmp_path) as (here, there):
        run = Run(here, there.address, Precopy(), method="qatzip", level=9, uuid=bytes(range(16)))
        assert_moved(here, there, run)
        assert run.sender.progress().dirty_sync_count == 2
        assert run.sender.progress().counters.normal_pages == 1001
        assert vm_description(there.tail).startswith(b'{"page_size": 4096')


def test_a_guest_that_writes_faster_than_the_link_is_cancelled(tmp_path: Path) -> None:
    with both(tmp_path, Workload(200e6, "sequential", 4096)) as (here, there):
        run = Run(here, there.address, Precopy(1), max_bandwidth=20e6)
        until(lambda: run.sender.progress().dirty_sync_count > 2)
        assert run.sender.progress().expected_downtime_ms > 1
        assert run.sender.cancel("by the test")
        run.join()
        assert isinstance(run.error, Cancelled)
        assert run.statuses == ["setup", "active", "cancelling", "cancelled"]
        counter = here.vcpu.counter
        until(lambda: here.vcpu.counter > counter)
        assert not there.result().completed


def test_a_cap_that_is_lifted_lets_it_converge(tmp_path: Path) -> None:
    with both(tmp_path, Workload(30e6, "sequential", 4096)) as (here, there):
        run = Run(here, there.address, Precopy(50), max_bandwidth=10e6)
        until(lambda: run.sender.progress().dirty_sync_count > 1)
        run.sender.set_bandwidth(0)
        assert_moved(here, there, run)


def test_a_destination_that_refuses_leaves_the_guest_here(tmp_path: Path) -> None:
    with both(tmp_path, BUSY) as (here, there):
        there.fault = HostError("this guest cannot be taken")
        run = Run(here, there.address, Precopy())
        run.join()
        assert isinstance(run.error, MigrationFailed)
        assert "without an answer: it had all of the guest, and may run it" in str(run.error)
        assert run.statuses[-1] == "failed"
        assert here.paused.is_set()
        counter = here.vcpu.counter
        until(lambda: here.vcpu.counter > counter)


def test_a_destination_that_ends_leaves_the_guest_here(tmp_path: Path) -> None:
    with both(tmp_path, BUSY) as (here, there):
        run = Run(here, there.address, Precopy(1), max_bandwidth=10e6)
        run.wait("active")
        until(lambda: run.sender.progress().counters.normal_pages > 10)
        there.receiver.stop("by the test")
        run.join()
        assert isinstance(run.error, MigrationFailed)
        assert run.statuses == ["setup", "active", "failed"]
        assert here.vcpu.running


def test_nobody_there(tmp_path: Path) -> None:
    here = Here(BUSY)
    try:
        run = Run(here, UnixAddress(str(tmp_path / "nobody")), Precopy())
        run.join()
        assert run.error is not None
        assert run.error.exit_code == 3
        assert run.statuses == ["setup", "failed"]
        assert here.vcpu.running
    finally:
        here.close()


@pytest.mark.parametrize("then", ["proceed", "cancel"])
def test_pause_before_switchover(tmp_path: Path, then: str) -> None:
    with both(tmp_path, BUSY) as (here, there):
        run = Run(here, there.address, Precopy(pause_before_switchover=True))
        run.wait("pre-switchover")
        assert not here.vcpu.running
        if then == "proceed":
            run.sender.proceed()
            run.join()
            assert run.error is None
            assert there.result().completed
            assert run.statuses == ["setup", "active", "pre-switchover", "device", "completed"]
        else:
            assert run.sender.cancel("by the test")
            run.join()
            assert isinstance(run.error, Cancelled)
            assert here.vcpu.running


def test_once_the_destination_may_have_the_guest_it_is_too_late(tmp_path: Path) -> None:
    with both(tmp_path) as (here, there):
        run = Run(here, there.address, Precopy())
        assert_moved(here, there, run)
        assert not run.sender.cancel("too late")
        run.join()
        assert run.error is None


def test_no_silence_ends_it_once_the_destination_may_have_the_guest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two guests would run: the destination takes it over in the end."""
    monkeypatch.setattr(reminder, "SECONDS", 0.2)
    with both(tmp_path, BUSY) as (here, there):
        told, resumed = threading.Event(), threading.Event()
        monkeypatch.setattr(here, "resume", resumed.set)
        there.meanwhile = lambda: told.wait(DEADLINE)
        run = Run(here, there.address, Precopy(), stall_timeout=STALL)
        until(lambda: bool(run.notes))
        assert re.match(
            r"the destination has all .* nothing for 0 s: .* stands still", run.notes[0]
        )
        assert not run.sender.cancel("by the test")
        until(lambda: run.sender.progress().total_time_ms > 1500 * STALL)
        assert (run.statuses[-1], run.error, resumed.is_set()) == ("device", None, False)
        told.set()
        assert_moved(here, there, run)
        assert not resumed.is_set()
        assert len(run.notes) == 1


def test_a_source_that_ends_breaks_it_off_and_runs_no_guest(tmp_path: Path) -> None:
    with both(tmp_path, BUSY) as (here, there):
        told = threading.Event()
        there.meanwhile = lambda: told.wait(DEADLINE)
        run = Run(here, there.address, Precopy())
        run.wait("device")
        until(lambda: there.state is not None)
        run.sender.abandon()
        run.join()
        told.set()
        assert isinstance(run.error, Cancelled)
        assert not here.vcpu.running


def test_a_destination_that_hangs_is_given_up(tmp_path: Path) -> None:
    here = Here(BUSY)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(tmp_path / "deaf"))
        listener.listen(8)
        run = Run(here, UnixAddress(str(tmp_path / "deaf")), Precopy(), stall_timeout=0.5)
        run.join()
        assert isinstance(run.error, MigrationFailed)
        assert "takes no more" in str(run.error)
        assert here.vcpu.running
    finally:
        with suppress(OSError):
            listener.close()
        here.close()


def test_no_such_method_or_level() -> None:
    here = Here()
    try:
        for wrong in ({"method": "lzo"}, {"method": "qatzip", "level": 10}):
            with pytest.raises(UsageError):
                Run(here, UnixAddress("/nowhere"), Precopy(), **wrong)
    finally:
        here.close()


def test_with_an_ends_status_go_the_times_of_that_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody asks at the very moment at which it completes."""
    clock = Clock()
    monkeypatch.setattr(send_record, "time", clock)
    record = SendRecord(lambda _: None)
    record.stop()

    class Completing(Clock):
        def monotonic(self) -> float:
            monkeypatch.setattr(send_record, "time", clock)
            clock.now += 2.0
            record.hand_over()
            record.to("completed")
            clock.now += 1.0
            return clock.now

    monkeypatch.setattr(send_record, "time", Completing())
    outgoing = SimpleNamespace(pages=0, counters=lambda: None)
    asked = record.progress(Rounds(4096), outgoing, 0)  # type: ignore[arg-type]
    assert asked.status != "completed"
    told = record.progress(Rounds(4096), outgoing, 0)  # type: ignore[arg-type]
    assert (told.status, told.total_time_ms, told.downtime_ms) == ("completed", 2000, 2000)
