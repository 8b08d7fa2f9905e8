"""The far half and its link, joined by pipes in this process."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from fakes_far import FarHalf, far_half
from fakes_qmp import FakeQemu
from ramferry import __version__
from ramferry.control.far import children, monitors
from ramferry.control.far import house as house_module
from ramferry.control.hosts import far_protocol as far
from ramferry.control.hosts import ssh as ssh_module
from ramferry.control.hosts.far_child import FarChild
from ramferry.control.hosts.far_link import FarLink
from ramferry.control.hosts.started import start_line
from ramferry.errors import HostError, PeerUnreachable, UsageError
from ramferry.transport.address import TcpAddress
from ramferry.transport.carried import CarriedSocket
from ramferry.transport.monitor_socket import MonitorSocket
from ramferry.transport.plain import connect

SECONDS = 10.0


@pytest.fixture
def half() -> Iterator[FarHalf]:
    with far_half({"SSH_CONNECTION": "192.0.2.1 40000 192.0.2.2 22"}) as made:
        yield made


def test_its_first_line(half: FarHalf) -> None:
    assert half.hello == far.Hello(far.PROTOCOL, __version__, "192.0.2.2", "192.0.2.1")


def test_it_ends_with_its_standard_input(half: FarHalf) -> None:
    half.link.close()
    half.thread.join(SECONDS)
    assert not half.thread.is_alive()


def test_a_monitor_is_carried_both_ways(half: FarHalf, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "qmp"))
        server.listen()
        carried = ssh_module._carried(half.link, CarriedSocket(), str(tmp_path / "qmp"), 5.0)
        assert carried.peer_pid == os.getpid()
        there, _ = server.accept()
        with there:
            carried.raw.setblocking(True)
            carried.raw.settimeout(SECONDS)
            sent = os.urandom(300_000)
            writer = threading.Thread(target=there.sendall, args=(sent,))
            writer.start()
            come = b""
            while len(come) < len(sent):
                come += carried.raw.recv(65536)
            writer.join()
            assert come == sent
            carried.raw.sendall(b"command")
            assert there.recv(100) == b"command"
        assert carried.raw.recv(10) == b""
        carried.close()


def test_a_monitor_that_hangs_up_at_once_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread may have closed it before anybody looks who it was."""

    class AtOnce(threading.Thread):
        def start(self) -> None:
            super().start()
            self.join(SECONDS)

    heard: list[object] = []
    out = SimpleNamespace(say=heard.append)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "qmp"))
        server.listen()

        def hang_up() -> None:
            server.accept()[0].close()

        hangs_up = threading.Thread(target=hang_up)
        hangs_up.start()
        monkeypatch.setattr(monitors, "threading", SimpleNamespace(Thread=AtOnce))
        opened = monitors.Monitors(out)  # type: ignore[arg-type]
        assert opened.open(far.OpenMonitor(3, str(tmp_path / "qmp"), SECONDS)) == os.getpid()
        hangs_up.join()
    assert heard == [far.Over(3)]


def test_a_command_for_a_monitor_that_was_just_closed() -> None:
    opened = monitors.Monitors(SimpleNamespace(say=print))  # type: ignore[arg-type]
    gone = MonitorSocket.__new__(MonitorSocket)
    gone.raw = socket.socket(socket.AF_UNIX)
    gone.close()
    opened._open[3] = gone
    opened.take(far.Piece(3, b"command"))
    opened.take(far.Over(3))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda _: None, FileNotFoundError),
        (lambda path: path.touch(), ConnectionRefusedError),
    ],
    ids=["nothing", "no socket"],
)
def test_a_monitor_that_is_none_is_the_kernels_error(
    half: FarHalf, tmp_path: Path, make: object, error: type[OSError]
) -> None:
    make(tmp_path / "qmp")  # type: ignore[operator]
    with pytest.raises(error):
        half.link.ask(far.OpenMonitor(99, str(tmp_path / "qmp"), 1.0))


def test_facts_of_proc(half: FarHalf) -> None:
    pid, thread = os.getpid(), threading.get_native_id()
    assert half.link.ask(far.Locate(pid, (thread,))) == pid
    assert half.link.ask(far.Locate(1, (thread,))) is None
    assert half.link.ask(far.Cpu(pid, ())) > 0
    assert half.link.ask(far.Accelerates("off")) is False


def test_folders(half: FarHalf) -> None:
    path = Path(half.link.ask(far.MakeFolder("qmp:x", os.getpid())))
    other = Path(half.link.ask(far.MakeFolder("qmp:y", None)))
    assert path.is_dir()
    half.link.ask(far.RequireFolder(str(path), writes=True))
    half.link.ask(far.HandOverFolder(str(path)))
    half.link.ask(far.RemoveFolder(str(path)))
    assert not path.exists()
    with pytest.raises(UsageError, match="there is no folder /etc"):
        half.link.ask(far.RemoveFolder("/etc"))
    half.link.close()
    half.thread.join(SECONDS)
    assert not other.exists()


def test_a_process_there_as_one_here(half: FarHalf) -> None:
    child = FarChild(half.link, ("relay", "unix:/no/such/folder/s", "unix:/d", "--method"), b"")
    assert child.wait(SECONDS) == 2
    assert "--method" in "".join(child.stderr)
    assert list(child.stdout) == []


def test_a_process_there_is_ended(half: FarHalf, tmp_path: Path) -> None:
    line = ("relay", f"unix:{tmp_path}/s", "unix:/none", "--method", "none", "--once", "--events")
    child = FarChild(half.link, line, b"")
    assert '"listening"' in next(iter(child.stdout))
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.01)
    assert child.poll() is None
    child.terminate()
    assert child.wait(SECONDS) == 6
    child.kill()  # it has ended


def test_with_the_far_half_its_processes_end(tmp_path: Path) -> None:
    with far_half() as half:
        line = ("relay", f"unix:{tmp_path}/s", "unix:/none", "--method", "none", "--events")
        child = FarChild(half.link, line, b"")
        assert '"listening"' in next(iter(child.stdout))
    assert not Path(f"/proc/{child.pid}").exists()
    assert child.poll() is not None


@pytest.fixture
def in_its_place(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Has a shell script run in place of the relay that is to be started."""

    def start(script: str) -> None:
        line = ["sh", "-c", script]
        monkeypatch.setattr(children, "start_line", lambda _, secret: start_line(line, secret))

    return start


WAITS = "echo up; while :; do sleep 0.05; done"


def test_where_the_near_half_has_gone_they_are_hung_up_on_not_stopped(
    in_its_place: Callable[[str], None], tmp_path: Path
) -> None:
    """So that a relay in its switchover stays for who may have to ask it."""
    in_its_place(f"trap 'echo hung up >{tmp_path}/said; sleep 0.3; exit' HUP; {WAITS}")
    with far_half() as half:
        child = FarChild(half.link, ("relay",), b"")
        assert next(iter(child.stdout)) == "up\n"
    assert (tmp_path / "said").read_text() == "hung up\n"
    assert not Path(f"/proc/{child.pid}").exists()


def test_but_not_for_longer_than_they_may_stay(
    in_its_place: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "DECIDE_SECONDS", 0.5)
    monkeypatch.setattr(children, "MORE_SECONDS", 0.1)
    in_its_place(f"trap '' HUP; {WAITS}")
    with far_half() as half:
        child = FarChild(half.link, ("relay",), b"")
        assert next(iter(child.stdout)) == "up\n"
        begun = time.monotonic()
    assert time.monotonic() - begun > 0.5
    assert not Path(f"/proc/{child.pid}").exists()


def test_only_some_commands_are_started(half: FarHalf) -> None:
    with pytest.raises(UsageError, match="doctor, plan, relay only"):
        FarChild(half.link, ("bench",), b"")


def test_a_meeting(half: FarHalf) -> None:
    host, port = half.link.ask(far.Meet("127.0.0.1", 0, 0, "token"))
    connection = connect(TcpAddress(host, port))
    connection.settle(1.0)
    connection.send([b"token"])
    assert half.link.ask(far.Met("token"))
    connection.close()
    with pytest.raises(UsageError, match="nobody is met"):
        half.link.ask(far.Met("token"))


def test_a_stranger_is_not_met(half: FarHalf) -> None:
    host, port = half.link.ask(far.Meet("127.0.0.1", 0, 0, "token"))
    connection = connect(TcpAddress(host, port))
    connection.settle(1.0)
    connection.send([b"other"])
    assert not half.link.ask(far.Met("token"))
    connection.close()


def test_ports_that_are_taken(half: FarHalf) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(HostError, match="in use"):
            half.link.ask(far.Meet("127.0.0.1", port, port, "token"))


def test_an_address_of_a_gateway_is_listened_to_everywhere(half: FarHalf) -> None:
    host, port = half.link.ask(far.Meet("192.0.2.77", 0, 0, "token"))
    assert host in ("", "0.0.0.0", "::")
    assert port
    assert not half.link.ask(far.Met("token"))


@pytest.mark.parametrize(
    "line",
    [b"{}\n", b"[" * 5000 + b"\n", b"x" * (far.MOST_BYTES + 100), b'{"type":"ask","number":1}\n'],
    ids=["empty", "deep", "endless", "no question"],
)
def test_what_no_near_half_says_ends_it(line: bytes) -> None:
    with far_half() as half:
        half.link._to.write(line)
        half.link._to.flush()
        half.thread.join(SECONDS)
        assert not half.thread.is_alive()


def test_silence_of_the_near_half_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far, "SILENCE_SECONDS", 0.1)
    with far_half() as half:
        half.thread.join(SECONDS)
        assert not half.thread.is_alive()


def test_a_cut_cable_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house_module.Cable, "cut", lambda _: True)
    with far_half() as half:
        half.thread.join(SECONDS)
        assert not half.thread.is_alive()


def test_a_qemu_behind_it_answers_as_one_here(half: FarHalf, tmp_path: Path) -> None:
    qemu = FakeQemu(tmp_path / "q")
    try:
        pid = half.link.ask(
            far.OpenMonitor(half.link.stream(lambda *_: None), str(tmp_path / "q"), 5.0)
        )
        assert pid == os.getpid()
    finally:
        qemu.close()


@pytest.mark.parametrize("line", [b"garbage\n", b'{"type":"answer","number":"x"}\n', b""])
def test_a_far_half_that_says_garbage_is_gone(line: bytes) -> None:
    to_near, to_far = os.pipe(), os.pipe()
    reading, writing = os.fdopen(to_near[0], "rb"), os.fdopen(to_far[1], "wb")
    link = FarLink("beta", writing, reading)
    os.write(to_near[1], line)
    os.close(to_near[1])
    assert link.lost.wait(SECONDS)
    with pytest.raises(PeerUnreachable, match="the connection by ssh to beta has ended"):
        link.ask(far.Accelerates("off"))
    link.join(SECONDS)
    link.close()
    reading.close()
    os.close(to_far[0])
