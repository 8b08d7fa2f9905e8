"""``ramferry relay`` as a real process: signals, a reader that goes away, exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fakes_destination import FakeDestination, Habits
from fakes_relay import NOTICE, RelayThread, Stage, until
from fakes_source import SETTLE, FakeSource, dial
from fakes_wire import MAIN, Do, Guest, Script, Step
from ports import port_of_nobody
from ramferry.transport.address import TcpAddress, UnixAddress
from relay_process import START

CANCELLED = 6


class Process:
    """``ramferry relay`` between the stage's two addresses."""

    def __init__(
        self,
        stage: Stage,
        *options: str,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        descriptors: int = 0,
    ) -> None:
        """:param descriptors: the limit of the process, where it is not the usual one."""
        settings = stage.settings
        self.address = settings.listen
        command = [sys.executable, "-m", "ramferry", "relay"]
        command += [str(settings.listen), str(settings.connect), "--method", settings.method]
        limit = ["prlimit", f"--nofile={descriptors}:{descriptors}"] if descriptors else []
        self.child = subprocess.Popen(
            [*limit, *command, *options], stdout=stdout, stderr=stderr, text=True
        )
        try:
            # a path is there before anyone listens on it; a probe is harmless
            until(lambda: _accepts(settings.listen) or self.child.poll() is not None, START)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End it, whatever it does."""
        if self.child.poll() is None:
            self.child.kill()
        self.child.communicate()

    def end(self) -> tuple[int, str, str]:
        out, err = self.child.communicate(timeout=SETTLE)
        return self.child.returncode, out or "", err or ""


@contextmanager
def relay_process(
    stage: Stage,
    *options: str,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    descriptors: int = 0,
) -> Iterator[Process]:
    process = Process(stage, *options, stdout=stdout, stderr=stderr, descriptors=descriptors)
    try:
        yield process
    finally:
        process.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_any_migration(tmp_path: Path, number: signal.Signals) -> None:
    stage = Stage(tmp_path)
    with relay_process(stage, "--once") as process:
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
    carried = threading.Event()
    script.steps[script.find("part", MAIN) :] = []
    with relay_process(stage, "--once") as process:
        script.steps += [
            Do(lambda: carried.wait(SETTLE)),
            Do(lambda: process.child.send_signal(signal.SIGTERM)),
        ]
        with ends(stage, process, script) as (source, destination):
            until(lambda: destination.marks == [0])
            carried.set()
            code, _, err = process.end()
            until(destination.all_ended, NOTICE)
            assert source.status == "failed"
            assert not source.left()
            assert not destination.faults
    assert code == CANCELLED
    assert "failed: cancelled: SIGTERM; the guest stays at the source" in err


def test_a_signal_in_the_switchover_is_obeyed_after_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    script = Script(Guest())
    results = tmp_path / "results.json"
    said = threading.Event()
    with relay_process(stage, "--once", "--json", str(results)) as process:

        def signalled() -> None:
            process.child.send_signal(signal.SIGTERM)
            err = process.child.stderr
            assert err is not None
            while "only the destination can end it" not in (line := err.readline()):
                assert line
            said.set()

        with ends(stage, process, script, Habits(before_answer=signalled)) as (source, destination):
            assert said.wait(SETTLE)
            code, _, err = process.end()
            assert source.status == "completed"
    assert destination.memory == script.memory
    assert code == 0
    assert "carried" in err
    document = json.loads(results.read_text())
    assert (document["format"], document["version"]) == ("relay", 5)
    assert document["completed"] is True


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


@pytest.mark.parametrize("signalled", [False, True])
def test_a_reader_that_goes_away_in_the_switchover_waits_for_the_answer(
    tmp_path: Path, signalled: bool
) -> None:
    """A pipe without a reader stays so: it must not count as the second signal."""
    stage = Stage(tmp_path)
    script = Script(Guest())
    with relay_process(stage, "--events", "--once") as process:
        out, err = process.child.stdout, process.child.stderr
        assert out is not None
        assert err is not None

        def leave() -> None:
            if signalled:
                process.child.send_signal(signal.SIGTERM)
            else:
                out.close()
            while "only the destination can end it" not in (line := err.readline()):
                assert line
            out.close()
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
    first, *between, last = [line["event"] for line in lines]
    assert (first, last) == ("listening", "finished")
    # one each quarter of a second, and the last state: how many is for the machine to say
    assert set(between) == {"progress"}
    assert lines[-1]["completed"]


@pytest.mark.parametrize(
    ("asked", "size", "said"), [("packet", 524288, ", 1 member a packet)"), ("64K", 65536, ")")]
)
def test_it_says_how_packets_were_cut(tmp_path: Path, asked: str, size: int, said: str) -> None:
    stage = Stage(tmp_path, method="qatzip")
    script = Script(Guest(method="none"))
    results = tmp_path / "results.json"
    options = ("--once", "--events", "--json", str(results), "--member-size", asked)
    with relay_process(stage, *options) as process, ends(stage, process, script):
        code, out, err = process.end()
    assert code == 0
    assert err.splitlines()[-1].endswith(f"(none → qatzip, isa-l{said}")
    event = json.loads(out.splitlines()[-1])
    assert (event["event"], event["backend"], event["member_size"]) == ("finished", "isa-l", size)
    assert json.loads(results.read_text())["member_size"] == size


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


@contextmanager
def full_pipe() -> Iterator[int]:
    """The writing end of a pipe that nobody reads, without room for a byte."""
    read_end, write_end = os.pipe()
    try:
        os.set_blocking(write_end, False)
        with suppress(BlockingIOError):
            while True:
                os.write(write_end, bytes(4096))
        os.set_blocking(write_end, True)
        yield write_end
    finally:
        os.close(read_end)
        os.close(write_end)


def test_readers_that_do_not_read_keep_no_guest_waiting(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    script = Script(Guest())
    results = tmp_path / "results.json"
    options = ("--events", "--once", "--json", str(results))
    with (
        full_pipe() as full,
        relay_process(stage, *options, stdout=full, stderr=full) as process,
    ):
        with ends(stage, process, script) as (source, destination):
            process.child.wait(SETTLE)
            assert source.status == "completed"
        assert destination.memory == script.memory
        assert process.child.returncode == 0
    assert json.loads(results.read_text())["completed"] is True


def test_readers_that_do_not_read_hide_no_lost_destination(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    script = Script(Guest())
    with (
        full_pipe() as full,
        relay_process(stage, "--events", stdout=full, stderr=full) as process,
    ):
        script.stop(script.find("part", MAIN))
        with ends(stage, process, script) as (source, destination):
            until(lambda: destination.marks == [0])
            # many looks at what would be told
            threading.Event().wait(1.0)
            destination.close()
            until(lambda: not source.left(), what="the source is told")
        process.child.terminate()
        process.child.wait(SETTLE)
        assert process.child.returncode == 0


def test_a_result_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with (
        relay_process(stage, "--once", "--json", "/dev/full") as process,
        ends(stage, process, Script(Guest())),
    ):
        code, _, err = process.end()
    assert code == 0
    assert "ramferry relay: the result could not be written to /dev/full: No space left" in err


def test_out_of_descriptors_it_says_so_once_and_comes_back(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    crowd: list[socket.socket] = []
    with relay_process(stage, "--once", descriptors=40) as process:
        try:
            crowd += [dial(process.address) for _ in range(60)]
            err = process.child.stderr
            assert err is not None
            while "cannot be accepted (Too many open files)" not in (line := err.readline()):
                assert line
            before = cpu_seconds(process.child.pid)
            threading.Event().wait(1.5)
            assert cpu_seconds(process.child.pid) - before < 0.5
        finally:
            for sock in crowd:
                sock.close()
        with ends(stage, process, Script(Guest())) as (source, _):
            code, _, rest = process.end()
            assert source.status == "completed"
    assert code == 0
    assert "cannot be accepted" not in rest


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    "stopped", [5, *(pytest.param(seconds, marks=pytest.mark.slow) for seconds in (30, 300))]
)
@pytest.mark.timeout(700)  # it stands still twice
def test_a_relay_that_was_stopped_goes_on_with_its_migration(
    tmp_path: Path, stopped: float
) -> None:
    """SIGSTOP for longer than every wait, the stall limit among them: no peer was silent."""
    stage = Stage(tmp_path)
    stage.over_tcp()
    script = Script(Guest())
    going = threading.Event()
    with port_of_nobody() as port, contextlib.ExitStack() as stack:
        stage.change(listen=TcpAddress("127.0.0.1", port))
        process = stack.enter_context(relay_process(stage, "--once", "--stall-timeout", "4"))

        def stand_still() -> None:
            # main stands before a mark by now, and waits for a SYNC
            going.wait(0.5)
            process.child.send_signal(signal.SIGSTOP)
            going.wait(stopped)
            process.child.send_signal(signal.SIGCONT)
            going.wait(0.5)

        part = script.steps.pop(script.find("part", MAIN))
        script.insert(script.find("sync", 1, 1), part, Do(stand_still))
        # and in the middle of a payload, where the kernel's clock is the judge
        index = script.find("payload", 1)
        step = script.steps[index]
        assert isinstance(step, Step)
        script.steps[index : index + 1] = [
            Step(1, step.data[:100]),
            Do(stand_still),
            Step(1, step.data[100:]),
        ]
        with ends(stage, process, script) as (source, destination):
            process.child.wait(2 * stopped + SETTLE)
            assert source.status == "completed"
        assert destination.memory == script.memory
    assert process.child.returncode == 0


@pytest.mark.parametrize(
    ("make", "code", "sentence"),
    [
        ("file", 8, "the path exists and is not a socket"),
        ("nobody", 3, "nobody accepts at"),
        ("level", 2, "method zlib has levels 0 to 9, level 12 was asked for"),
        ("members", 2, "method zlib has no members, member size packet was asked for"),
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
    wrong = {"level": ["--level", "12"], "members": ["--member-size", "packet"]}
    options = ["--once", *wrong.get(make, ())]
    with relay_process(stage, *options) as process:
        if make in ("file", *wrong):
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
