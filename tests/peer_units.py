"""Stands between two relays that speak relay:, and changes whole packets and frames."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from peer_meddler import Line, Meddler, Way
from ramferry.vocabulary import PAGE_SIZE
from ramferry.wire.digests import TRAILER_SIZE
from ramferry.wire.packets import (
    COMMON_LAYOUT,
    DEVICE_STATE,
    DEVICE_STATE_LAYOUT,
    INITIAL_SIZE,
    RAM_LAYOUT,
    SYNC,
    header_size,
)
from ramferry.wire.relay_frames import HEAD_SIZE
from ramferry.wire.relay_messages import HEAD_SIZE as MESSAGE_HEAD
from ramferry.wire.relay_opening import OPENING_SIZE

What = Literal[
    "opening", "message", "initial", "packet", "sync", "device", "data", "mark", "end", "rest"
]
"""What a unit of a connection's bytes is."""
How = Literal["flip", "drop", "double", "swap", "cut"]
_FRAMES: dict[int, What] = {0: "data", 1: "mark", 2: "end"}


@dataclass(frozen=True, slots=True)
class Strike:
    """One change of one connection's bytes."""

    kind: str
    """Of the connection: a value of ``KINDS``; of several, the first that comes."""
    what: What
    how: How
    nth: int = 0
    """Of such units."""
    at: int = 0
    """The byte that is flipped, or before which the connection is cut; from the end if negative."""
    way: Way = "forward"


@dataclass(slots=True)
class Unit:
    """Some bytes that belong together."""

    what: What
    data: bytes


class Splitter:
    """Splits one direction of a connection into its units."""

    def __init__(self, kind: str, way: Way) -> None:
        self._left = bytearray()
        self._first: list[tuple[What, int]] = [("opening", OPENING_SIZE)]
        if way == "back" and kind not in ("control", "resumed"):
            self._first = []
        if kind == "multifd":
            self._first.append(("initial", INITIAL_SIZE))
        self._next: Callable[[], tuple[What, int] | None] = {
            "control": self._message,
            "resumed": self._message,
            "main": self._frame,
            "multifd": self._packet,
        }[kind]

    def feed(self, data: bytes) -> list[Unit]:
        """The units that are whole with these bytes."""
        self._left += data
        units = []
        while (found := self._first[0] if self._first else self._next()) is not None:
            what, size = found
            if len(self._left) < size:
                break
            del self._first[:1]
            units.append(Unit(what, bytes(self._left[:size])))
            del self._left[:size]
        return units

    def rest(self) -> bytes:
        """What came of a unit that is not whole."""
        return bytes(self._left)

    def _message(self) -> tuple[What, int] | None:
        if len(self._left) < MESSAGE_HEAD:
            return None
        return "message", MESSAGE_HEAD + int.from_bytes(self._left[:4], "big")

    def _frame(self) -> tuple[What, int] | None:
        if len(self._left) < HEAD_SIZE:
            return None
        size, kind = struct.unpack_from(">II", self._left)
        return _FRAMES[kind], HEAD_SIZE + size

    def _packet(self) -> tuple[What, int] | None:
        if len(self._left) < DEVICE_STATE_LAYOUT.size:
            return None
        _, _, flags = COMMON_LAYOUT.unpack_from(self._left)
        if flags & DEVICE_STATE:
            size = DEVICE_STATE_LAYOUT.unpack_from(self._left)[5]
            return "device", DEVICE_STATE_LAYOUT.size + size + TRAILER_SIZE
        fields = RAM_LAYOUT.unpack_from(self._left)
        normal, size = fields[4], fields[5]
        what: What = "sync" if flags & SYNC and not normal else "packet"
        return what, header_size(PAGE_SIZE) + (size if normal else 0)


class UnitMeddler(Meddler):
    """A proxy that strikes at most once."""

    strike: Strike | None = None

    def _pump(self, line: Line, way: Way, source: socket.socket, sink: socket.socket) -> None:
        first = b""
        with contextlib.suppress(OSError):
            if way == "forward":
                first = source.recv(7, socket.MSG_WAITALL)
                if len(first) < 7:
                    raise OSError
                self._know(line, first)
            elif not line.known.wait(5):
                return
            with contextlib.suppress(_Cut):
                self._carry(line, way, source, sink, first)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _carry(
        self, line: Line, way: Way, source: socket.socket, sink: socket.socket, first: bytes
    ) -> None:
        splitter, seen, held = Splitter(line.kind, way), 0, b""
        data = first or source.recv(65536)
        while data:
            for unit in splitter.feed(data):
                strike = self.strike if line.chosen and not self.struck.is_set() else None
                if strike and (strike.kind, strike.way, strike.what) == (line.kind, way, unit.what):
                    seen += 1
                    if seen == strike.nth + 1:
                        self.struck.set()
                        if strike.how == "swap":
                            held = unit.data
                            continue
                        sink.sendall(changed(strike, unit.data))
                        if strike.how == "cut":
                            raise _Cut
                        continue
                sink.sendall(unit.data + held)
                held = b""
            data = source.recv(65536)
        sink.sendall(splitter.rest())


class _Cut(Exception):
    pass


def changed(strike: Strike, data: bytes) -> bytes:
    """A unit's bytes after a strike that is no swap."""
    if strike.how == "flip":
        raw = bytearray(data)
        raw[strike.at] ^= 0x10
        return bytes(raw)
    return {"drop": b"", "double": data * 2, "cut": data[: strike.at or None]}[strike.how]
