"""Stands between two relays that speak relay: over UNIX sockets, and changes what passes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self

from ramferry.transport.address import UnixAddress
from ramferry.transport.listening import Listener

Way = Literal["forward", "back"]
KINDS = {1: "control", 2: "main", 3: "multifd", 4: "resumed", 5: "stream"}


@dataclass(frozen=True, slots=True)
class Flip:
    """One bit of one connection's bytes."""

    kind: str
    """Of the connection: a value of ``KINDS``; of several, the first that comes."""
    at: int
    """The byte's offset in the stream of its direction, the opening included."""
    bit: int = 0
    way: Way = "forward"


@dataclass(eq=False, slots=True)
class Line:
    """A connection, and the one that the proxy made for it."""

    near: socket.socket
    far: socket.socket
    kind: str = ""
    chosen: bool = False
    known: threading.Event = field(default_factory=threading.Event)
    """Set once its kind is known."""


class Meddler:
    """A proxy at ``address``; a context manager that ends its connections."""

    def __init__(self, address: UnixAddress, target: UnixAddress) -> None:
        self._target = target
        self._listener = Listener(address)
        self._lines: list[Line] = []
        self._threads: list[threading.Thread] = []
        self._knowing = threading.Lock()
        self.flip: Flip | None = None
        self.struck = threading.Event()
        self._start(self._accept)

    def _start(self, run: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=run, args=given, name="meddler", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        (listening,) = self._listener.sockets
        listening.setblocking(True)
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self._target.path)
            except OSError:
                near.close()
                far.close()
                continue
            line = Line(near, far)
            self._lines.append(line)
            self._start(self._pump, line, "forward", near, far)
            self._start(self._pump, line, "back", far, near)

    def _pump(self, line: Line, way: Way, source: socket.socket, sink: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := bytearray(source.recv(65536)):
                if way == "forward" and not passed:
                    self._know(line, piece)
                self._strike(line, way, passed, piece)
                passed += len(piece)
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _know(self, line: Line, first: bytes | bytearray) -> None:
        # two that come at once would else each see the other, and neither be the first
        with self._knowing:
            kind = KINDS[first[6]]
            line.chosen = not any(one.kind == kind for one in self._lines)
            line.kind = kind
        line.known.set()

    def _strike(self, line: Line, way: Way, passed: int, piece: bytearray) -> None:
        flip = self.flip
        if flip is None or not line.chosen or (flip.kind, flip.way) != (line.kind, way):
            return
        if passed <= flip.at < passed + len(piece) and not self.struck.is_set():
            piece[flip.at - passed] ^= 1 << flip.bit
            self.struck.set()

    def calm(self) -> None:
        """Change nothing any more; the connections so far are over."""
        self.flip = None
        self.struck.clear()
        self._end_lines()

    def cut(self, kind: str, index: int = 0) -> None:
        """End one connection of a kind, the one of that number in the order in which they came."""
        line = [one for one in self._lines if one.kind == kind][index]
        for one in (line.near, line.far):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _end_lines(self) -> None:
        for line in self._lines:
            for one in (line.near, line.far):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for one in self._listener.sockets:
            one.shutdown(socket.SHUT_RDWR)
        self._end_lines()
        for thread in self._threads:
            thread.join(5)
        for line in self._lines:
            line.near.close()
            line.far.close()
        self._listener.close()
