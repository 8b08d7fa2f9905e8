"""A proxy between two stations of a migration: it passes everything on until it is told to strike.

``Proxy`` knows the connections apart by their first bytes and lets a watch look at every piece
before it goes on. ``Meddler`` is one that damages or cuts a multifd channel after some bytes.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import raw_sockets
from ramferry.errors import PeerUnreachable
from ramferry.transport.address import Address
from ramferry.transport.listening import Listener
from ramferry.wire.packets import INITIAL_SIZE

Fault = Literal["damage", "cut", "reset", "stall", "dead", "trickle"]
Way = Literal["forward", "back", "both"]
MULTIFD = b"\x11\x22\x33\x44"
CHANNEL_ID_AT = 24
CHUNK = 64 * 1024
BUFFER = 128 * 1024
"""Of each socket in bytes, so that who stands before a stalled link notices it."""
TRICKLE = 256
"""Bytes that a trickling connection passes …"""
TRICKLE_SECONDS = 0.02
"""… in so many seconds."""


@dataclass(slots=True, eq=False)
class Line:
    """One connection through the proxy."""

    near: socket.socket
    far: socket.socket
    name: str = ""
    """ "main", "multifd 3", or "" while nobody has sent anything."""
    watch: object = field(default=None)
    """Whatever a watch wants to keep for this connection."""

    def end(self, how: Callable[[socket.socket], None]) -> None:
        """Cut or reset both sides."""
        how(self.near)
        how(self.far)


@dataclass(frozen=True, slots=True)
class Blow:
    """What happens to which connections.

    Damage goes on to the channel's end: QEMU's zstd frames have no checksum, so that what hits
    nothing but their literals cannot be seen; a header, which comes sooner or later, can.
    """

    fault: Fault
    channel: str
    """The line's name; "" hits every line."""
    way: Way = "both"
    """Which direction stalls, trickles or is damaged; a cut ends both."""
    seconds: float = 0.0
    """How long a stall or trickle lasts; a "dead" line is reset then."""

    def hits(self, line: Line, way: Way) -> bool:
        """Whether it concerns this direction of the line."""
        return self.channel in ("", line.name) and self.way in (way, "both")


Look = Callable[[Line, Way, bytes], Iterator[bytes]]
"""Is given what came and yields it in pieces; what it does in between happens between them."""


def _whole(_line: Line, _way: Way, data: bytes) -> Iterator[bytes]:
    yield data


class Proxy:
    """Passes every connection on; ``strike`` makes a fault happen."""

    def __init__(self, listen: Address, target: Address, look: Look = _whole) -> None:
        self.struck = threading.Event()
        self.struck_at = 0.0
        """``time.monotonic()`` of the fault."""
        self.lines: list[Line] = []
        self._target = target
        self._look = look
        self._blow: Blow | None = None
        self._refuses = False
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        listener = Listener(listen)
        self._listener = listener.sockets[0]
        self._listener.setblocking(True)
        self.address = listener.address
        self._start(self._accept)

    def strike(self, blow: Blow, *, lasting: bool = False) -> None:
        """Have the fault happen from now on; a second one does nothing.

        :param lasting: no new connection is let through either.
        """
        if self.struck.is_set():
            return
        self.struck_at = time.monotonic()
        self._blow, self._refuses = blow, lasting
        self.struck.set()
        if blow.fault in ("cut", "reset"):
            self._end_lines(blow)

    def _end_lines(self, blow: Blow) -> None:
        how = raw_sockets.cut if blow.fault == "cut" else raw_sockets.reset
        for line in list(self.lines):
            if blow.channel in ("", line.name):
                line.end(how)

    def close(self) -> None:
        """End every connection."""
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for line in self.lines:
            line.end(raw_sockets.cut)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self._listener.close()
        for line in self.lines:
            line.near.close()
            line.far.close()

    def _start(self, run, *arguments) -> None:  # type: ignore[no-untyped-def]
        thread = threading.Thread(target=run, args=arguments, name="meddler", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._refuses:
                    raise PeerUnreachable("the line is dead for good")
                far = raw_sockets.connected(self._target)
            except PeerUnreachable:
                near.close()
                continue
            far.settimeout(None)
            for sock in (near, far):
                raw_sockets.set_buffers(sock, send=BUFFER, receive=BUFFER)
            line = Line(near, far)
            self.lines.append(line)
            self._start(self._forward, line)
            self._start(self._pump, far, near, line, "back")

    def _forward(self, line: Line) -> None:
        with contextlib.suppress(OSError):
            line.name = self._name(line.near)
        self._pump(line.near, line.far, line, "forward")

    def _name(self, near: socket.socket) -> str:
        first = near.recv(len(MULTIFD), socket.MSG_WAITALL | socket.MSG_PEEK)
        if first != MULTIFD:
            return "main"
        first = near.recv(INITIAL_SIZE, socket.MSG_WAITALL | socket.MSG_PEEK)
        return f"multifd {first[CHANNEL_ID_AT]}" if len(first) == INITIAL_SIZE else ""

    def _pump(self, came: socket.socket, goes: socket.socket, line: Line, way: Way) -> None:
        try:
            while data := came.recv(CHUNK):
                for piece in self._look(line, way, data):
                    self._pass(goes, line, way, piece)
            self._hold(line, way)
            with contextlib.suppress(OSError):
                goes.shutdown(socket.SHUT_WR)
        except OSError:
            # what broke on one side breaks on the other, if the line between them still carries
            with contextlib.suppress(OSError):
                self._hold(line, way)
            line.end(raw_sockets.reset)

    def _pass(self, goes: socket.socket, line: Line, way: Way, piece: bytes) -> None:
        self._hold(line, way)
        blow = self._blow
        if blow is None or not blow.hits(line, way):
            goes.sendall(piece)
        elif blow.fault == "damage":
            goes.sendall(random.Random(1).randbytes(len(piece)))
        elif blow.fault == "trickle":
            self._trickle(goes, piece, blow)
        elif blow.fault in ("cut", "reset"):
            self._end_lines(blow)
            raise ConnectionAbortedError
        else:
            goes.sendall(piece)

    def _trickle(self, goes: socket.socket, piece: bytes, blow: Blow) -> None:
        view = memoryview(piece)
        while len(view) and time.monotonic() - self.struck_at < blow.seconds:
            goes.sendall(view[:TRICKLE])
            view = view[TRICKLE:]
            self._ended.wait(TRICKLE_SECONDS)
        goes.sendall(view)

    def _hold(self, line: Line, way: Way) -> None:
        """Wait as long as this direction is stalled; a dead line ends then."""
        blow = self._blow
        if blow is None or blow.fault not in ("stall", "dead") or not blow.hits(line, way):
            return
        self._ended.wait(max(0.0, self.struck_at + blow.seconds - time.monotonic()))
        if blow.fault == "dead":
            line.end(raw_sockets.reset)
            raise ConnectionAbortedError


class Meddler(Proxy):
    """On one multifd channel, after some bytes, the fault happens once."""

    def __init__(self, listen: Address, target: Address, fault: Fault, channel: int, at: int):
        """:param at: bytes of the channel that pass before the fault."""
        self._victim = f"multifd {channel}"
        self._fault = fault
        self._at = at
        self._passed = 0
        super().__init__(listen, target, self._count)

    def _count(self, line: Line, way: Way, data: bytes) -> Iterator[bytes]:
        if way == "forward" and line.name == self._victim:
            self._passed += len(data)
            if self._passed > self._at:
                self.strike(Blow(self._fault, self._victim, "forward"))
        yield data
