"""The relay is told to end: by a call, by signals to a real process, by its reader going away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes_destination import FakeDestination, Habits
from fakes_relay import NOTICE, RelayThread, Stage, until
from fakes_source import SETTLE, FakeSource, dial
from fakes_wire import MAIN, Do, Guest, Script
from ramferry.errors import HostError, UsageError
from ramferry.flows.relay import Relay
from ramferry.transport.address import TcpAddress, UnixAddress

CANCELLED = 6


# --- in this process


def test_stopped_while_nothing_comes(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with RelayThread(stage.settings, once=True) as relay:
        relay.relay.stop("SIGTERM")
        relay.thread.join(NOTICE)
        assert relay.result is None
        assert not relay.seen.results
    assert not (tmp_path / "relay").exists()


@pytest.mark.parametrize("what", ["preamble", "start", "part", "end"])
def test_stopped_during_a_migration(tmp_path: Path, what: str) -> None:
    script = Script(Guest())
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:

        def stop() -> None:
            until(lambda: relay.session is not None)
            relay.relay.stop("SIGTERM")
            until(lambda: bool(relay.seen.results))

        script.insert(script.find(what, MAIN), Do(stop))
        result = stage.fail(relay, script)
        assert result.error == "cancelled: SIGTERM; the guest runs on at the source"
        assert result.exit_code == CANCELLED
        relay.thread.join(NOTICE)
        assert not relay.thread.is_alive()


def test_stopped_in_the_switchover_it_waits_for_the_answer(tmp_path: Path) -> None:
    script = Script(Guest())
    stage = Stage(tmp_path)
    reached, go_on = threading.Event(), threading.Event()

    def hesitate() -> None:
        reached.set()
        assert go_on.wait(SETTLE)

    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest, Habits(before_answer=hesitate)) as destination,
        stage.source(relay, script) as source,
    ):
        assert reached.wait(SETTLE)
        relay.relay.stop("SIGTERM")
        until(lambda: any("only the destination can end it" in one for one in relay.seen.notes))
        assert not relay.seen.results
        go_on.set()
        result = relay.finished()
        assert result.completed
        assert source.status == "completed"
        assert destination.complete
        relay.thread.join(NOTICE)
        assert not relay.thread.is_alive()


def test_rams_end_goes_on_no_more_once_the_migration_has_failed(tmp_path: Path) -> None:
    """The failure and the switchover meet: with the rest of the stream the destination would start
    the guest that the source resumes."""
    script = Script(Guest())
    stage = Stage(tmp_path)
    with (
        RelayThread(stage.settings) as relay,
        stage.destination(script.guest) as destination,
    ):
        failed = threading.Event()

        def fail() -> None:
            until(lambda: destination.marks == [0, 1, 2, 3])
            # the loop that would cut the connections does not come to it
            relay.session._wake = lambda: None
            relay.session.over.set = lambda: None
            relay.session.fail(HostError("the disk is full"))
            failed.set()

        end = script.find("end")
        step = script.steps[end]
        # the mark goes first, so that ram's END and the tail meet a session that has failed
        body = step.data  # type: ignore[union-attr]
        script.edit(end, lambda _: body[:-6])
        script.insert(end + 1, Do(fail), type(step)(MAIN, body[-6:], "rest"))  # type: ignore[call-arg]
        with stage.source(relay, script) as source:
            assert source.done.wait(SETTLE)
            assert failed.wait(SETTLE)
            until(lambda: not any(one.name == "main" for one in threading.enumerate()))
            assert not destination.complete
            del relay.session.over.set
            relay.session.over.set()
            assert relay.finished().error == "the disk is full"
            assert source.status == "failed"


# --- what a relay refuses to begin with


def test_an_address_in_use_is_a_host_error_and_leaves_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(HostError, match=r"cannot listen on unix:.*: another process listens"):
            Relay(stage.settings, relay.seen)
        assert len(os.listdir("/proc/self/fd")) == before
        stage.carry(relay, Script(Guest()))


def test_a_port_in_use_is_a_host_error(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.over_tcp()
    with RelayThread(stage.settings) as relay:
        assert isinstance(relay.address, TcpAddress)
        stage.change(listen=relay.address)
        with pytest.raises(HostError, match=r"cannot listen on tcp:.*: Address already in use"):
            Relay(stage.settings, relay.seen)


def test_a_file_in_the_way_is_kept(tmp_path: Path) -> None:
    (tmp_path / "relay").write_text("precious")
    stage = Stage(tmp_path)
    with pytest.raises(HostError, match="the path exists and is not a socket"):
        RelayThread(stage.settings)
    assert (tmp_path / "relay").read_text() == "precious"


@pytest.mark.parametrize(
    ("method", "level"), [("zlib", 10), ("qatzip", 0), ("none", 1), ("lz4", 1)]
)
def test_a_bad_method_or_level_is_refused_before_anything_listens(
    tmp_path: Path, method: str, level: int
) -> None:
    stage = Stage(tmp_path, method=method, level=level)
    with pytest.raises(UsageError, match=method):
        RelayThread(stage.settings)
    assert not (tmp_path / "relay").exists()


# --- as a process


class Process:
    """``ramferry relay`` between the stage's two addresses."""

    def __init__(self, stage: Stage, *options: str, stdout: int | None = subprocess.PIPE) -> None:
        settings = stage.settings
        self.address = settings.listen
        command = [sys.executable, "-m", "ramferry", "relay"]
        command += [str(settings.listen), str(settings.connect), "--method", settings.method]
        self.child = subprocess.Popen(
            [*command, *options], stdout=stdout, stderr=subprocess.PIPE, text=True
        )
        until(lambda: (stage.folder / "relay").exists() or self.child.poll() is not None)

    def end(self) -> tuple[int, str, str]:
        out, err = self.child.communicate(timeout=SETTLE)
        return self.child.returncode, out or "", err


@contextmanager
def relay_process(
    stage: Stage, *options: str, stdout: int | None = subprocess.PIPE
) -> Iterator[Process]:
    process = Process(stage, *options, stdout=stdout)
    try:
        yield process
    finally:
        if process.child.poll() is None:
            process.child.kill()
        process.child.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_any_migration(tmp_path: Path, number: signal.Signals) -> None:
    stage = Stage(tmp_path)
    with relay_process(stage, "--once") as process:
        until(lambda: _accepts(stage.settings.listen))
        process.child.send_signal(number)
        code, _, err = process.end()
    assert code == CANCELLED
    assert err.splitlines()[-1] == "ramferry: ended before any migration came"
    assert not (tmp_path / "relay").exists()


def _accepts(address: object) -> bool:
    try:
        dial(address).close()  # type: ignore[arg-type]
    except OSError:
        return False
    return True


@contextmanager
def ends(
    stage: Stage, process: Process, script: Script, habits: Habits | None = None
) -> Iterator[tuple[FakeSource, FakeDestination]]:
    with stage.destination(script.guest, habits) as destination:
        source = FakeSource(process.address, script)
        try:
            yield source, destination
        finally:
            source.close()


def test_a_signal_during_a_migration(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    script = Script(Guest())
    with relay_process(stage, "--once") as process:
        signalled = Do(lambda: process.child.send_signal(signal.SIGTERM))
        script.insert(script.find("part", MAIN), Do(lambda: until(lambda: carried(1))), signalled)
        script.steps[script.find("part", MAIN) :] = []

        def carried(count: int) -> bool:
            return len(destination.marks) >= count

        with ends(stage, process, script) as (source, destination):
            code, _, err = process.end()
            until(destination.all_ended, NOTICE)
            assert source.status == "failed"
            assert not source.left()
            assert not destination.faults
    assert code == CANCELLED
    assert "failed: cancelled: SIGTERM; the guest runs on at the source" in err


def test_a_signal_in_the_switchover_is_obeyed_after_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    script = Script(Guest())
    results = tmp_path / "results.json"
    with relay_process(stage, "--once", "--json", str(results)) as process:

        def signalled() -> None:
            process.child.send_signal(signal.SIGTERM)
            err = process.child.stderr
            assert err is not None
            while "only the destination can end it" not in (line := err.readline()):
                assert line

        with ends(stage, process, script, Habits(before_answer=signalled)) as (source, destination):
            code, _, err = process.end()
            assert source.status == "completed"
    assert destination.memory == script.memory
    assert code == 0
    assert "carried" in err
    assert json.loads(results.read_text())["completed"] is True


def test_a_killed_relay_ends_both_sides(tmp_path: Path) -> None:
    """SIGKILL: the kernel closes everything; nothing held was sent."""
    stage = Stage(tmp_path)
    script = Script(Guest())
    with relay_process(stage) as process:
        script.insert(script.find("part", MAIN), Do(process.child.kill))
        with ends(stage, process, script) as (source, destination):
            until(destination.all_ended)
            until(lambda: not source.left())
            assert source.status == "failed"
        assert not [fault for fault in destination.faults if "was cut after" not in fault]
        assert not destination.complete
    # what it left is no obstacle to the next one
    assert (tmp_path / "relay").exists()
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, script.__class__(Guest()))


def test_a_reader_that_goes_away_ends_the_relay(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with relay_process(stage, "--events") as process:
        out = process.child.stdout
        assert out is not None
        assert json.loads(out.readline()) == {
            "event": "listening",
            "uri": str(UnixAddress(str(tmp_path / "relay"))),
        }
        out.close()
        process.child.wait(SETTLE)
        assert process.child.returncode == 0


def test_a_reader_that_goes_away_in_the_switchover_waits_for_the_answer(tmp_path: Path) -> None:
    """A pipe without a reader stays so: it must not count as the second signal."""
    stage = Stage(tmp_path)
    script = Script(Guest())
    with relay_process(stage, "--events", "--once") as process:
        out, err = process.child.stdout, process.child.stderr
        assert out is not None
        assert err is not None

        def leave() -> None:
            out.close()
            while "only the destination can end it" not in (line := err.readline()):
                assert line
            threading.Event().wait(0.3)

        with ends(stage, process, script, Habits(before_answer=leave)) as (source, destination):
            process.child.wait(SETTLE)
            assert source.status == "completed"
        assert destination.complete
        assert process.child.returncode == 0


def test_events_may_go_into_a_file(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    script = Script(Guest())
    with (
        open(tmp_path / "events", "w") as events,
        relay_process(stage, "--events", "--once", stdout=events.fileno()) as process,
    ):
        with ends(stage, process, script) as (source, _):
            code, _, _ = process.end()
            assert source.status == "completed"
        assert code == 0
    lines = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["listening", "progress", "finished"]
    assert lines[-1]["completed"]


def test_a_broken_stderr_drops_no_guest(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    script = Script(Guest())
    with relay_process(stage, "--once") as process:
        assert process.child.stderr is not None
        process.child.stderr.close()
        process.child.stderr = None
        with ends(stage, process, script) as (source, destination):
            process.child.wait(SETTLE)
            assert source.status == "completed"
        assert destination.complete
        assert process.child.returncode == 0


@pytest.mark.parametrize(
    ("make", "code", "sentence"),
    [
        ("file", 8, "the path exists and is not a socket"),
        ("nobody", 3, "nobody accepts at"),
        ("level", 2, "method zlib has levels 0 to 9, level 12 was asked for"),
        ("refused", 5, "the destination refused the guest"),
        ("corrupt", 7, "multifd 0 packet 1: expected"),
    ],
)
def test_exit_codes_and_their_sentences(
    tmp_path: Path, make: str, code: int, sentence: str
) -> None:
    stage = Stage(tmp_path)
    script = Script(Guest())
    if make == "file":
        (tmp_path / "relay").write_text("")
    if make == "corrupt":
        script.edit(script.find("payload", 0), lambda raw: b"\xff" * len(raw))
    options = ["--once", *(["--level", "12"] if make == "level" else [])]
    with relay_process(stage, *options) as process:
        if make in ("file", "level"):
            got, _, err = process.end()
        elif make == "nobody":
            source = FakeSource(process.address, script)
            got, _, err = process.end()
            source.close()
        else:
            habits = Habits(shut=1) if make == "refused" else None
            with ends(stage, process, script, habits) as (source, _):
                got, _, err = process.end()
                assert source.status == "failed"
    assert got == code
    assert sentence in err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 2
