"""A proxy between two stations of a migration: it passes everything on until it is told to strike.

It knows the connections apart by their first bytes and by the order in which they come, and lets a
watch look at every piece before it goes on. What can happen is in ``fault_blows``.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import fault_lines
import raw_sockets
from fault_blows import ALTERING, CONNECTING, ENDING, LASTING, Blow, Way, Wound
from ramferry.errors import PeerUnreachable
from ramferry.transport.address import Place
from ramferry.transport.listening import Listener

CHUNK = 64 * 1024
BUFFER = 128 * 1024
"""Of each socket in bytes, so that who stands before a stalled link notices it."""
TRICKLE = 256
"""Bytes that a trickling connection passes …"""
TRICKLE_SECONDS = 0.02
"""… in so many seconds."""
DELAY_SECONDS = 0.1
"""By which a delaying connection holds up each piece."""


@dataclass(slots=True, eq=False)
class Line:
    """One connection through the proxy."""

    near: socket.socket
    far: socket.socket
    order: int = 0
    """How many came before it."""
    name: str = ""
    """See ``fault_lines.name``; "" while nobody has sent anything."""
    watch: object = field(default=None)
    """Whatever a watch wants to keep for this connection."""
    deaf: set[Way] = field(default_factory=set)
    """Directions that have ended while their sender goes on."""
    ended: set[Way] = field(default_factory=set)
    """Directions of which nothing more is read."""

    def end(self, how: Callable[[socket.socket], None]) -> None:
        """Cut or reset both sides."""
        how(self.near)
        how(self.far)

    def end_way(self, way: Way) -> None:
        """End a direction for who receives; what is sent there from now on is lost."""
        for one in ("forward", "back") if way == "both" else (way,):
            self.deaf.add(one)  # type: ignore[arg-type]
            with contextlib.suppress(OSError):
                (self.far if one == "forward" else self.near).shutdown(socket.SHUT_WR)


Look = Callable[[Line, Way, bytes], Iterator[bytes]]
"""Is given what came and yields it in pieces; what it does in between happens between them."""


def _whole(_line: Line, _way: Way, data: bytes) -> Iterator[bytes]:
    yield data


class Proxy:
    """Passes every connection on; ``strike`` makes a fault happen."""

    def __init__(self, listen: Place, target: Place, look: Look = _whole) -> None:
        self.struck = threading.Event()
        """A blow has been ordered."""
        self.hit = threading.Event()
        """It has met a connection or bytes."""
        self.hit_at = 0.0
        """``time.monotonic()`` of that."""
        self.struck_at = 0.0
        """``time.monotonic()`` of the order."""
        self.lines: list[Line] = []
        self._target = target
        self._look = look
        self._blow: Blow | None = None
        self._wound = Wound(Blow("flip", "nobody"))
        self._refuses = False
        self._ended = threading.Event()
        self._came = 0
        self._seen = -1
        """The number of the last connection that was led on, or is held up."""
        self._swallowed: list[socket.socket] = []
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
        self._wound, self._refuses = Wound(blow), lasting
        self._blow = blow
        self.struck.set()
        if blow.fault in ENDING and not blow.skip:
            self._end_lines(blow)
        if blow.fault in LASTING:
            self._met()

    def heal(self) -> None:
        """From now on everything passes; connections that were led nowhere end."""
        self._blow, self._refuses = None, False
        for sock in self._swallowed:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _met(self) -> None:
        if not self.hit.is_set():
            self.hit_at = time.monotonic()
            self.hit.set()

    def _end_lines(self, blow: Blow) -> None:
        """Do what an ending blow does, to every line that it concerns."""
        self._met()
        for line in list(self.lines):
            if not blow.concerns(line.name, line.order):
                continue
            if blow.fault == "half-cut":
                line.end_way(blow.way)
            else:
                line.end(raw_sockets.reset if blow.fault == "reset" else raw_sockets.cut)

    def close(self) -> None:
        """End every connection."""
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for line in list(self.lines):
            line.end(raw_sockets.cut)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self._listener.close()
        for sock in self._swallowed:
            sock.close()
        for line in self.lines:
            line.near.close()
            line.far.close()

    # --- connections

    def _start(self, run, *arguments) -> None:  # type: ignore[no-untyped-def]
        thread = threading.Thread(target=run, args=arguments, name="fault proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            order, self._came = self._came, self._came + 1
            blow = self._blow
            if blow is None or blow.fault not in CONNECTING or not blow.concerns("", order):
                self._open(near, order)
                self._seen = order
                continue
            self._met()
            self._seen = order
            if blow.fault == "swallow":
                self._swallowed.append(near)
            else:
                self._start(self._open_after, near, order, blow.seconds)

    def _open_after(self, near: socket.socket, order: int, seconds: float) -> None:
        """Lead a connection on once a later one has come, or after some time."""
        deadline = time.monotonic() + seconds
        while self._seen <= order and time.monotonic() < deadline and not self._ended.is_set():
            self._ended.wait(0.01)
        if self._ended.is_set():
            near.close()
        else:
            self._open(near, order)

    def _open(self, near: socket.socket, order: int) -> None:
        try:
            if self._refuses:
                self._met()
                raise PeerUnreachable("the line is dead for good")
            far = raw_sockets.connected(self._target)
        except PeerUnreachable:
            near.close()
            return
        far.settimeout(None)
        for sock in (near, far):
            raw_sockets.set_buffers(sock, send=BUFFER, receive=BUFFER)
        line = Line(near, far, order)
        self.lines.append(line)
        self._start(self._forward, line)
        self._start(self._pump, far, near, line, "back")

    # --- bytes

    def _forward(self, line: Line) -> None:
        with contextlib.suppress(OSError):
            line.name = fault_lines.name(line.near, line.order)
        self._pump(line.near, line.far, line, "forward")

    def forget_ended(self) -> None:
        """Free the descriptors of lines that have ended on both ways; for who opens thousands."""
        for line in [one for one in list(self.lines) if len(one.ended) > 1]:
            line.near.close()
            line.far.close()
            self.lines.remove(line)
        self._threads = [one for one in self._threads if one.is_alive()]

    def _pump(self, came: socket.socket, goes: socket.socket, line: Line, way: Way) -> None:
        try:
            self._pumped(came, goes, line, way)
        finally:
            line.ended.add(way)

    def _pumped(self, came: socket.socket, goes: socket.socket, line: Line, way: Way) -> None:
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
        if blow is not None and blow.hits(line.name, line.order, way):
            piece = self._treated(goes, line, way, piece, blow)
        if piece and way not in line.deaf:
            goes.sendall(piece)

    def _treated(
        self, goes: socket.socket, line: Line, way: Way, piece: bytes, blow: Blow
    ) -> bytes:
        """What is left to send of a piece that a blow hits."""
        if blow.fault == "garbage":
            self._met()
            return self._wound.noise(len(piece))
        if blow.fault == "trickle":
            return self._trickled(goes, piece, blow)
        if blow.fault == "delay":
            if time.monotonic() - self.struck_at < blow.seconds:
                self._ended.wait(DELAY_SECONDS)
            return piece
        if blow.fault not in ENDING and blow.fault not in ALTERING:
            return piece
        if not blow.skip and blow.fault in ENDING:  # it opened, or was read, after the blow
            self._end_lines(blow)
            at: int | None = 0
        else:
            at = self._wound.opens(piece)
        if at is None:
            return piece
        self._met()
        if blow.fault in ALTERING:
            return self._wound.altered(piece, at)
        return self._ended_in(goes, line, way, piece[:at], blow)

    def _ended_in(
        self, goes: socket.socket, line: Line, way: Way, rest: bytes, blow: Blow
    ) -> bytes:
        """Send the last of what passes of a line, and end it."""
        if rest and way not in line.deaf:
            goes.sendall(rest)
        if blow.fault == "half-cut":
            line.end_way(way)
            return b""
        self._end_lines(blow)
        raise ConnectionAbortedError

    def _trickled(self, goes: socket.socket, piece: bytes, blow: Blow) -> bytes:
        view = memoryview(piece)
        while len(view) and time.monotonic() - self.struck_at < blow.seconds:
            goes.sendall(view[:TRICKLE])
            view = view[TRICKLE:]
            self._ended.wait(TRICKLE_SECONDS)
        return bytes(view)

    def _hold(self, line: Line, way: Way) -> None:
        """Wait as long as this direction is stalled; a dead line ends then."""
        blow = self._blow
        if blow is None or blow.fault not in ("stall", "dead"):
            return
        if not blow.hits(line.name, line.order, way):
            return
        self._ended.wait(max(0.0, self.struck_at + blow.seconds - time.monotonic()))
        if blow.fault == "dead":
            line.end(raw_sockets.reset)
            raise ConnectionAbortedError
