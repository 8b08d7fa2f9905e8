"""What a relay says of a far end that is no Ramferry, or not the one that it says it is."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue

import msgspec
import pytest

from certificates import authority, complete
from fakes_relay import SETTLE, RelayThread, Stage, until
from fakes_source import STALL
from fakes_wire import Guest, Script
from ramferry.errors import MigrationFailed
from ramferry.flows.outlet import outlet as outlet_module
from ramferry.flows.outlet import refused as refused_module
from ramferry.flows.outlet.refused import lost
from ramferry.flows.peer import control as control_module
from ramferry.flows.peer.agreement import own_hello
from ramferry.flows.session.session import Session
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayResult
from ramferry.transport import credentials
from ramferry.transport.address import RelayAddress, TcpAddress, TlsAddress, UnixAddress, place_of
from ramferry.transport.security import Security
from ramferry.wire.relay_messages import Failed, Hello, Message, encode, headed
from ramferry.wire.relay_opening import OPENING_SIZE, Kind, Opening, parse_opening
from ramferry.wire.return_path import TLS_ALERT

TOKEN = b"sixteen bytes ok"
HELLO = own_hello(RelaySettings(UnixAddress("in"), UnixAddress("out"), "none"))
GUEST = Guest(method="none")
BY_TLS = "the destination speaks TLS: connect with relay: or tls: and --tls-creds"
UNREACHABLE, UNAVAILABLE, FAILED, PROTOCOL, TIMEOUT = 3, 4, 5, 7, 9

Talk = Callable[["Acceptor", socket.socket], None]


@dataclass
class Acceptor:
    """Accepts connections, and talks on each as it was told."""

    path: str
    control: Talk
    """On the first one, from its beginning."""
    others: Talk = lambda acceptor, sock: acceptor.drain(sock)
    """On the others, once they were opened."""
    openings: dict[int, Opening] = field(default_factory=dict)
    """By descriptor."""
    controls: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Acceptor:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._socks: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="fake acceptor")]
        self._threads[0].start()
        return self

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                sock.settimeout(SETTLE)
                talk = self._open if self._socks else self.control
                self._socks.append(sock)
                thread = threading.Thread(target=self._talk, args=(talk, sock), name="fake talk")
                self._threads.append(thread)
                thread.start()

    def _talk(self, talk: Talk, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            talk(self, sock) if talk == self.control else talk(sock)  # type: ignore[call-arg]

    def _open(self, sock: socket.socket) -> None:
        raw = sock.recv(OPENING_SIZE, socket.MSG_WAITALL)
        if len(raw) == OPENING_SIZE:
            self.openings[sock.fileno()] = parse_opening(raw)
            self.others(self, sock)

    def greet(self, sock: socket.socket, hello: Hello = HELLO) -> None:
        """Say hello, and hear the far end's."""
        self.controls.append(sock)
        sock.sendall(Opening(Kind.CONTROL, TOKEN).encode() + encode(hello))
        parse_opening(sock.recv(OPENING_SIZE, socket.MSG_WAITALL))
        size = int.from_bytes(sock.recv(4, socket.MSG_WAITALL), "big")
        sock.recv(size, socket.MSG_WAITALL)

    def drain(self, sock: socket.socket) -> None:
        """Read to the end."""
        while sock.recv(65536):
            continue

    def says(self, message: Message) -> None:
        self.controls[0].sendall(encode(message))

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SETTLE)
            assert not thread.is_alive()
        for sock in self._socks:
            sock.close()
        self._listener.close()
        Path(self.path).unlink()


@dataclass
class Scene:
    """A relay between a source and a far end."""

    stage: Stage
    relay: RelayThread
    nth: int = 0

    def fail(self) -> RelayResult:
        """A migration that fails; its source goes on."""
        self.nth += 1
        with self.stage.source(self.relay, Script(GUEST)) as source:
            result = self.relay.finished(self.nth)
            assert source.done.wait(SETTLE)
            assert source.status == "failed"
        assert not result.completed
        return result


@contextlib.contextmanager
def scene(folder: Path, **settings: object) -> Iterator[Scene]:
    stage = Stage(folder, method="none", **settings)
    stage.change(connect=RelayAddress(UnixAddress(str(folder / "far"))))
    with RelayThread(stage.settings) as relay:
        yield Scene(stage, relay)


def says(raw: bytes) -> Talk:
    """Say something whole, and end."""

    def talk(_: Acceptor, sock: socket.socket) -> None:
        sock.sendall(raw)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            continue

    return talk


def greets(hello: Hello) -> Talk:
    return lambda acceptor, sock: (acceptor.greet(sock, hello), acceptor.drain(sock))[1]


def silent(acceptor: Acceptor, sock: socket.socket) -> None:
    acceptor.drain(sock)


OPENING = Opening(Kind.CONTROL, TOKEN).encode()
ANSWERS: dict[str, tuple[Talk, str, int]] = {
    "web server": (
        says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        "it is no Ramferry, but a web server",
        UNREACHABLE,
    ),
    "TLS": (
        says(b"\x15\x03\x03\x00\x02\x02\x46"),
        "it speaks TLS: give this side --tls-creds",
        UNREACHABLE,
    ),
    "QMP": (says(b'{"QMP": {"version": {}}}'), "it is no Ramferry, but a QMP mon", UNREACHABLE),
    "closes": (
        says(b""),
        r"it is no Ramferry that takes migrations at relay:, since it closed the connection without"
        r" a hello \(to a QEMU, or a relay that listens at tcp:, connect with tcp:\)",
        UNREACHABLE,
    ),
    "another opening": (
        says(b"RFRY\0\2" + bytes(18)),
        "it is a Ramferry that begins otherwise: expected opening version 1, received version 2",
        UNREACHABLE,
    ),
    "gigabyte": (
        says(OPENING + (1 << 30).to_bytes(4, "big") + bytes(8) + b"["),
        "it says hello otherwise than a Ramferry: expected a message of 1 to 65536 bytes",
        UNREACHABLE,
    ),
    "no JSON": (
        says(OPENING + headed(b"hello")),
        "it says hello otherwise than a Ramferry: expected a message of the relay protocol",
        UNREACHABLE,
    ),
    "deep JSON": (
        says(OPENING + headed(b'{"x":' + b"[" * 32_000 + b"]" * 32_000 + b"}")),
        "it says hello otherwise than a Ramferry",
        UNREACHABLE,
    ),
    "cut hello": (says(OPENING + headed(b"{}")[:5]), "it sends no hello", UNREACHABLE),
    "another version": (
        greets(msgspec.structs.replace(HELLO, protocol=(3, 4), ramferry="7.1")),
        r"Ramferry 7\.1 there speaks version 3 to 4 of the relay protocol and Ramferry .* here 1: "
        "install the same on both hosts",
        UNAVAILABLE,
    ),
    "busy": (
        greets(msgspec.structs.replace(HELLO, refused="another migration is under way")),
        "it refuses: another migration is under way",
        UNREACHABLE,
    ),
    "no method": (
        greets(msgspec.structs.replace(HELLO, inflates={"zlib": "software"})),
        "the end that receives cannot inflate none, only zlib: choose another --method",
        UNAVAILABLE,
    ),
}


def test_a_relay_that_does_not_allow_our_certificate(tmp_path: Path) -> None:
    known = credentials.read(complete(tmp_path / "pki", authority()))
    picky = RelaySettings(
        RelayAddress(TcpAddress("127.0.0.1", 0)),
        UnixAddress(str(tmp_path / "nobody")),
        "none",
        security=Security(known, allowed=("CN=somebody else",)),
    )
    with RelayThread(picky) as far:
        stage = Stage(tmp_path, method="none", security=Security(known))
        stage.change(connect=far.address)
        with RelayThread(stage.settings) as near:
            error = Scene(stage, near).fail().error
    assert error == (
        f"{far.address}: it ended the connection after TLS: its --tls-authz may not allow this "
        "side's certificate (CN=client,O=Example), or it is a QEMU or a relay at tls: (then "
        "connect with tls:); see what it says there"
    )
    assert "--tls-authz does not allow CN=client,O=Example" in far.seen.notes[0]


def test_a_port_of_tls_is_known_to_who_connects_in_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the alert on main, whichever of its connections breaks first."""
    # a busy machine, on which both relays share a process, takes longer than a round trip
    monkeypatch.setattr(refused_module, "WORD", SETTLE)
    known = credentials.read(complete(tmp_path / "pki", authority()))
    encrypts = RelaySettings(
        TlsAddress(TcpAddress("127.0.0.1", 0)),
        UnixAddress(str(tmp_path / "nobody")),
        "none",
        security=Security(known),
    )
    with RelayThread(encrypts) as far:
        stage = Stage(tmp_path, method="none")
        stage.change(connect=place_of(far.address))
        with RelayThread(stage.settings) as near:
            result = Scene(stage, near).fail()
    assert result.error == BY_TLS
    assert result.exit_code == PROTOCOL


class EndsChannels(Acceptor):
    """Ends every connection but the first, main, at the first bytes of it."""

    def _open(self, sock: socket.socket) -> None:
        sock.recv(1)
        sock.shutdown(socket.SHUT_RDWR)


def test_an_alert_on_main_counts_more_than_the_channel_that_broke_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: Queue[Session] = Queue()

    def noted(session: Session, *args: str, **far: bool) -> MigrationFailed:
        error = lost(session, *args, **far)
        seen.put(session)
        return error

    def alert(acceptor: Acceptor, main: socket.socket) -> None:
        main.recv(4)
        # the relay has seen a channel break, and has time to fail for that
        seen.get(timeout=SETTLE).over.wait(0.05)
        main.sendall(TLS_ALERT + bytes.fromhex("0100020246"))
        acceptor.drain(main)

    monkeypatch.setattr(outlet_module, "lost", noted)
    monkeypatch.setattr(refused_module, "WORD", SETTLE)
    stage = Stage(tmp_path, method="none")
    with RelayThread(stage.settings) as relay, EndsChannels(str(tmp_path / "destination"), alert):
        result = Scene(stage, relay).fail()
    assert result.error == BY_TLS
    assert result.exit_code == PROTOCOL


@pytest.mark.parametrize("what", ANSWERS)
def test_who_answers_instead_is_said(tmp_path: Path, what: str) -> None:
    talk, sentence, code = ANSWERS[what]
    with scene(tmp_path) as on:
        with Acceptor(str(tmp_path / "far"), talk):
            result = on.fail()
        assert re.match(f"{re.escape(str(on.stage.settings.connect))}: {sentence}", result.error)
        assert result.exit_code == code


def test_nobody_there_is_said(tmp_path: Path) -> None:
    with scene(tmp_path) as on:
        result = on.fail()
    assert result.error.startswith(f"nobody accepts at {on.stage.settings.connect}: ")
    assert result.exit_code == UNREACHABLE


def test_one_that_never_says_hello(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "STALL", 0.1)
    with scene(tmp_path) as on, Acceptor(str(tmp_path / "far"), silent):
        result = on.fail()
    assert "it says nothing for 0.1 s, so it is no Ramferry at relay:" in result.error
    assert result.exit_code == UNREACHABLE


@pytest.mark.parametrize("how", ["stop", "source"])
def test_a_hello_that_hangs_does_not_hold_up_the_end(tmp_path: Path, how: str) -> None:
    """The relay is stopped, or its source has gone, in the middle of a hello."""
    path = str(tmp_path / "far")
    with (
        scene(tmp_path) as on,
        Acceptor(path, silent) as far,
        on.stage.source(on.relay, Script(GUEST)) as source,
    ):
        until(lambda: bool(far._socks))
        begun = time.monotonic()
        if how == "stop":
            on.relay.relay.stop("so it is")
        else:
            source.end()
        result = on.relay.finished()
        assert time.monotonic() - begun < control_module.STALL / 2
    assert result.exit_code == (6 if how == "stop" else FAILED)


def test_one_that_takes_nothing_after_its_hello(tmp_path: Path) -> None:
    """As one that is stopped: found by the stall limit."""
    with scene(tmp_path, stall_timeout=STALL) as on:
        far = Acceptor(str(tmp_path / "far"), greets(HELLO), others=lambda *_: until_released(stop))
        stop = threading.Event()
        with far:
            result = on.fail()
            stop.set()
        assert result.exit_code == TIMEOUT
        assert {one.kind for one in far.openings.values()} == {Kind.MAIN, Kind.MULTIFD}
        assert {one.token for one in far.openings.values()} == {TOKEN}


def until_released(stop: threading.Event) -> None:
    stop.wait(SETTLE)


def after_main(do: Callable[[Acceptor], None]) -> Talk:
    """Do something once main has come."""

    def talk(acceptor: Acceptor, sock: socket.socket) -> None:
        if acceptor.openings[sock.fileno()].kind is Kind.MAIN:
            sock.recv(1)
            do(acceptor)
        acceptor.drain(sock)

    return talk


def test_its_word_is_the_cause_and_not_the_connections_that_break(tmp_path: Path) -> None:
    def fails(acceptor: Acceptor) -> None:
        for sock in acceptor._socks[1:]:
            sock.shutdown(socket.SHUT_RDWR)
        # later than what breaks: it is waited for
        threading.Event().wait(0.2)
        acceptor.says(Failed("multifd 3 packet 9: the flux is low", PROTOCOL))

    with scene(tmp_path) as on:
        with Acceptor(str(tmp_path / "far"), greets(HELLO), others=after_main(fails)):
            result = on.fail()
        where = on.stage.settings.connect
        assert result.error == f"{where}: multifd 3 packet 9: the flux is low"
        assert result.exit_code == PROTOCOL


def test_an_error_of_an_unknown_exit_code_is_a_failed_migration(tmp_path: Path) -> None:
    talk = after_main(lambda acceptor: acceptor.says(Failed("odd", 200)))
    with scene(tmp_path) as on, Acceptor(str(tmp_path / "far"), greets(HELLO), others=talk):
        result = on.fail()
        assert result.error.endswith(": odd")
        assert result.exit_code == FAILED


def test_nonsense_on_control_fails_it(tmp_path: Path) -> None:
    talk = after_main(lambda acceptor: acceptor.controls[0].sendall(headed(b"{}")))
    with scene(tmp_path) as on, Acceptor(str(tmp_path / "far"), greets(HELLO), others=talk):
        result = on.fail()
        assert result.error.startswith("control: expected a message of the relay protocol")
        assert result.exit_code == PROTOCOL


def test_an_end_of_main_without_a_word_is_that(tmp_path: Path) -> None:
    def closes(acceptor: Acceptor) -> None:
        for sock in acceptor._socks:
            sock.shutdown(socket.SHUT_RDWR)

    with scene(tmp_path) as on:
        with Acceptor(str(tmp_path / "far"), greets(HELLO), others=after_main(closes)):
            result = on.fail()
        assert result.exit_code == FAILED
        assert re.search("far relay|destination", result.error)


@pytest.mark.parametrize(
    "raw", [b"\0\0\0\4\0\0\0\7" + bytes(8), b"\0\0\0\1\0\0\0\0" + bytes(8) + b"x", b"\xff" * 40]
)
def test_a_damaged_frame_on_the_return_path_is_named(tmp_path: Path, raw: bytes) -> None:
    def talk(acceptor: Acceptor, sock: socket.socket) -> None:
        if acceptor.openings[sock.fileno()].kind is Kind.MAIN:
            sock.sendall(raw)
        acceptor.drain(sock)

    with scene(tmp_path) as on:
        with Acceptor(str(tmp_path / "far"), greets(HELLO), others=talk):
            result = on.fail()
        assert result.error.startswith("return path: expected frame 0 as it was sent, received ")
        assert result.exit_code == PROTOCOL
