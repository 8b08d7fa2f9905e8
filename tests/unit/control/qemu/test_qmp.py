"""Qmp against a scripted server: what QEMU says, what it must never be believed to be."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from leftovers import no_thread_left
from ports import port_of_nobody
from ramferry.control.qemu.qmp import Event, Qmp
from ramferry.errors import MethodUnavailable, PeerTimeout, PeerUnreachable, UsageError

GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7},'
    b' "package": "Debian"}, "capabilities": ["oob"]}}\r\n'
)
SETTLE = 5.0

Script = Callable[[socket.socket], None]


class Server:
    """Accepts connections on a UNIX socket and runs one script with each."""

    def __init__(self, path: Path, script: Script, backlog: int = 4) -> None:
        self.uri = f"qmp:{path}"
        self._script = script
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(backlog)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(SETTLE)
                try:
                    self._script(connection)
                except OSError:
                    continue

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Script], str]]:
    servers: list[Server] = []

    def start(script: Script) -> str:
        servers.append(Server(tmp_path / f"{len(servers)}.sock", script))
        return servers[-1].uri

    yield start
    for server in servers:
        server.close()


def qemu(answer: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> Script:
    """A QEMU that greets, negotiates, and answers every command with ``answer``'s messages."""

    def script(connection: socket.socket) -> None:
        connection.sendall(GREETING)
        stream = ""
        while chunk := connection.recv(65536):
            stream += chunk.decode()
            while stream.rstrip():
                # As QEMU does: requests follow one another, with or without a newline.
                request, end = json.JSONDecoder().raw_decode(stream)
                stream = stream[end:].lstrip()
                replies = (
                    [{"return": {}}]
                    if request["execute"] == "qmp_capabilities"
                    else answer(request)
                )
                for reply in replies:
                    if "event" not in reply:
                        reply = {**reply, "id": request.get("id")}
                    connection.sendall(json.dumps(reply).encode() + b"\r\n")

    return script


def test_execute_returns_what_qemu_returned(serve: Callable[[Script], str]) -> None:
    uri = serve(qemu(lambda request: [{"return": {"asked": request.get("arguments")}}]))
    with Qmp.connect(uri) as qmp:
        assert qmp.version == (7, 2, 22)
        assert qmp.execute("migrate", {"uri": "unix:x"}) == {"asked": {"uri": "unix:x"}}
        assert qmp.execute("query-migrate") == {"asked": None}


def test_refusal_names_peer_command_and_reason(serve: Callable[[Script], str]) -> None:
    refusal = {"error": {"class": "GenericError", "desc": "Parameter 'x' is unexpected."}}
    uri = serve(qemu(lambda _: [refusal]))
    with Qmp.connect(uri) as qmp, pytest.raises(MethodUnavailable) as caught:
        qmp.execute("migrate-set-parameters", {"x": 1})
    assert str(caught.value) == (
        f"the QEMU at {uri} refuses migrate-set-parameters: Parameter 'x' is unexpected"
    )


def test_events_arrive_in_order_and_once(serve: Callable[[Script], str]) -> None:
    stamp = {"seconds": 7, "microseconds": 500000}
    news = [
        {"event": "MIGRATION", "data": {"status": "setup"}, "timestamp": stamp},
        {"event": "RTC_CHANGE", "data": {"offset": 1}, "timestamp": stamp},
        {"event": "STOP", "timestamp": stamp},
    ]
    uri = serve(qemu(lambda _: [*news, {"return": {}}]))
    with Qmp.connect(uri) as qmp:
        qmp.execute("stop")
        assert qmp.events(SETTLE) == [
            Event("MIGRATION", {"status": "setup"}, 7.5),
            Event("STOP", {}, 7.5),
        ]
        assert qmp.events() == []
        assert qmp.events(0.05) == []


def test_waiting_for_events_ends_with_the_first(serve: Callable[[Script], str]) -> None:
    def script(connection: socket.socket) -> None:
        connection.sendall(GREETING)
        connection.recv(4096)
        connection.sendall(b'{"return": {}}\r\n')
        connection.sendall(b'{"event": "RESUME", "timestamp": {"seconds": 1}}\r\n')
        connection.recv(1)

    with Qmp.connect(serve(script)) as qmp:
        begin = time.monotonic()
        assert qmp.events(SETTLE) == [Event("RESUME", {}, 1.0)]
        assert time.monotonic() - begin < SETTLE


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(PeerUnreachable, match=r"no QEMU answers at qmp:.*: No such file"):
        Qmp.connect(f"qmp:{tmp_path}/none.sock")
    with (
        port_of_nobody() as port,
        pytest.raises(PeerUnreachable, match=f"qmp:127.0.0.1:{port}: Connection refused"),
    ):
        Qmp.connect(f"qmp:127.0.0.1:{port}")


def test_silent_peer_is_given_up(serve: Callable[[Script], str]) -> None:
    def script(connection: socket.socket) -> None:
        connection.recv(1)

    uri = serve(script)
    with pytest.raises(PeerUnreachable, match=r"no QMP greeting within 0\.1 s"):
        Qmp.connect(uri, timeout=0.1)


def test_whoever_comes_to_a_monitor_that_is_held_hears_the_same(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.bind(str(tmp_path / "qmp"))
        monitor.listen(1)  # as QEMU does, which accepts nobody while it has a client
        said = set()
        for _ in range(4):
            with pytest.raises(PeerUnreachable) as caught:
                Qmp.connect(f"qmp:{tmp_path}/qmp", timeout=0.1)
            said.add(str(caught.value))
    (sentence,) = said
    assert "another client holds its only connection" in sentence
    assert "a second monitor, -qmp unix:PATH,server=on,wait=off" in sentence


def test_room_in_a_monitors_queue_is_waited_for(tmp_path: Path) -> None:
    def answer(_: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"return": {}}]

    server = Server(tmp_path / "qmp", qemu(answer), backlog=0)
    try:
        with Qmp.connect(server.uri), socket.socket(socket.AF_UNIX) as second:
            second.connect(str(tmp_path / "qmp"))
            with socket.socket(socket.AF_UNIX) as third:
                third.setblocking(False)
                assert third.connect_ex(str(tmp_path / "qmp")) == errno.EAGAIN
            waiter = threading.Thread(
                target=lambda: Qmp.connect(server.uri, timeout=SETTLE).close()
            )
            waiter.start()
        waiter.join(SETTLE)
        assert not waiter.is_alive()
    finally:
        server.close()


@pytest.mark.parametrize(
    "first_line",
    [
        b"220 mail.example ESMTP\r\n",
        b"\x00\xff\xfe garbage\n",
        b"{}\n",
        b"[1]\n",
        b'{"QMP": {"version": {}, "capabilities": []}}\n',
        b'{"QMP": 3}\n',
        b"x" * (11 * 1024 * 1024),
    ],
    ids=["smtp", "binary", "empty", "list", "no version", "number", "endless"],
)
def test_peer_that_is_no_qemu(serve: Callable[[Script], str], first_line: bytes) -> None:
    def script(connection: socket.socket) -> None:
        connection.sendall(first_line)
        connection.recv(4096)
        connection.sendall(b'{"return": {}}\r\n')
        connection.recv(1)

    with pytest.raises(PeerUnreachable, match="is not a QEMU: its greeting is not QMP's"):
        Qmp.connect(serve(script))


def test_peer_that_hangs_up(serve: Callable[[Script], str]) -> None:
    with pytest.raises(PeerUnreachable, match="is not a QEMU: it closes the connection"):
        Qmp.connect(serve(lambda _: None))


def test_unanswered_command_is_given_up(serve: Callable[[Script], str]) -> None:
    uri = serve(qemu(lambda _: []))
    with Qmp.connect(uri) as qmp, pytest.raises(PeerTimeout, match=r"not answer cont within 0\.1"):
        qmp.execute("cont", timeout=0.1)


def test_qemu_that_exits_during_a_command(serve: Callable[[Script], str]) -> None:
    def answer(_: dict[str, Any]) -> list[dict[str, Any]]:
        raise OSError("the script ends, and with it the connection")

    with Qmp.connect(serve(qemu(answer))) as qmp:
        for command in ("query-migrate", "query-status"):
            with pytest.raises(PeerUnreachable, match=f"ended at {command}"):
                qmp.execute(command)


def test_malformed_reply(serve: Callable[[Script], str]) -> None:
    with (
        Qmp.connect(serve(qemu(lambda _: [{"nothing": 1}]))) as qmp,
        pytest.raises(PeerUnreachable, match="got no valid reply"),
    ):
        qmp.execute("query-status")


@pytest.mark.parametrize(
    "line",
    [
        b'{"return": {}, "id": {}}',
        b'{"return": {}, "id": []}',
        b'{"return": "\xff"}',
        b"[" * 5000,
        b'{"return": ' + b"9" * 5000 + b"}",
        b'{"event": 1}',
    ],
)
def test_what_ends_the_librarys_reader_is_no_error_of_close(
    serve: Callable[[Script], str], line: bytes
) -> None:
    """It was one of any class, in place of what the command had raised."""

    def script(connection: socket.socket) -> None:
        connection.sendall(GREETING)
        connection.recv(4096)
        connection.sendall(b'{"return": {}}\r\n')
        connection.recv(4096)
        connection.sendall(line + b"\r\n")

    with (
        pytest.raises(PeerUnreachable, match=r"ended at query-name|not a QEMU"),
        Qmp.connect(serve(script)) as qmp,
    ):
        qmp.execute("query-name")


@pytest.mark.parametrize(
    "event",
    [
        b'{"event": "STOP", "timestamp": {"seconds": "odd"}}',
        b'{"event": "STOP", "timestamp": 7}',
        b'{"event": "STOP", "timestamp": {"seconds": ' + b"9" * 400 + b"}}",
        b'{"event": "STOP", "data": []}',
    ],
)
def test_an_event_of_another_shape_is_no_qemus(
    serve: Callable[[Script], str], event: bytes
) -> None:
    def script(connection: socket.socket) -> None:
        connection.sendall(GREETING)
        connection.recv(4096)
        connection.sendall(b'{"return": {}}\r\n' + event + b"\r\n")
        connection.recv(4096)

    with (
        Qmp.connect(serve(script)) as qmp,
        pytest.raises(PeerUnreachable, match="it sends an event that is not QMP's"),
    ):
        qmp.events(SETTLE)


def test_several_threads_may_execute(serve: Callable[[Script], str]) -> None:
    uri = serve(qemu(lambda request: [{"return": request["arguments"]["n"]}]))
    answers: list[int] = []
    with Qmp.connect(uri) as qmp:
        threads = [
            threading.Thread(target=lambda n=n: answers.append(qmp.execute("echo", {"n": n})))
            for n in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == list(range(16))


CHILD = """
import sys
from ramferry.control.qemu.qmp import Qmp
with Qmp.connect(sys.argv[1]) as qmp:
    print(qmp.execute("stop-me", timeout=2.4)["answer"], flush=True)
    qmp.execute("stop-me")
    for _ in range(3):
        qmp.events(0.2)
    print("done", flush=True)
"""
STOPPED_SECONDS = 4.0
"""Longer than any limit in CHILD, and than the one that events() once had."""


def test_a_process_that_was_stopped_is_not_a_peer_that_was_silent(
    serve: Callable[[Script], str],
) -> None:
    """The answer comes while the process is stopped; an event is awaited by it, too."""
    child: subprocess.Popen[str]
    resumes: list[threading.Timer] = []

    def stop_it(_: dict[str, Any]) -> list[dict[str, Any]]:
        os.kill(child.pid, signal.SIGSTOP)
        resumes.append(threading.Timer(STOPPED_SECONDS, os.kill, (child.pid, signal.SIGCONT)))
        resumes[-1].start()
        return [{"return": {"answer": "here"}}]

    uri = serve(qemu(stop_it))
    line = [sys.executable, "-c", CHILD, uri]
    child = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
        for timer in resumes:
            timer.join()
    assert (out.split(), err) == (["here", "done"], "")


def test_close_twice_then_use(serve: Callable[[Script], str]) -> None:
    uri = serve(qemu(lambda _: [{"return": {}}]))
    with no_thread_left():
        qmp = Qmp.connect(uri)
        qmp.close()
        qmp.close()
    with pytest.raises(UsageError, match="is closed"):
        qmp.execute("query-status")
    with pytest.raises(UsageError, match="is closed"):
        qmp.events()
