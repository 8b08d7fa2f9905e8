"""What stands between two relays that speak ``relay:``, and changes one thing that passes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator

from fault_blows import Way
from fault_proxy import Line, Proxy
from ramferry.transport.address import Place
from ramferry.wire import relay_messages
from ramferry.wire.digests import TRAILER_SIZE
from ramferry.wire.packets import (
    DEVICE_STATE,
    DEVICE_STATE_LAYOUT,
    INITIAL_SIZE,
    SYNC,
    header_size,
)
from ramferry.wire.relay_frames import HEAD_SIZE, FrameKind
from ramferry.wire.relay_opening import OPENING_SIZE

HEADER_SIZE = header_size(4096)
PEEK = ""
Cut = Generator[tuple[str, int], bytes, None]
"""Yields what comes next and its size, and is sent its bytes; ``PEEK`` leaves them."""
Change = Callable[[bytes], bytes]


def _control(way: Way) -> Cut:
    del way
    yield "opening", OPENING_SIZE
    what = "hello"
    while True:
        (size,) = struct.unpack(">I", (yield PEEK, 4))
        yield what, relay_messages.HEAD_SIZE + size
        what = "message"


def _main(way: Way) -> Cut:
    if way == "forward":
        yield "opening", OPENING_SIZE
    while True:
        size, kind = struct.unpack(">II", (yield PEEK, 8))
        yield FrameKind(kind).name.lower(), HEAD_SIZE + size


def _multifd(way: Way) -> Cut:
    del way
    yield "opening", OPENING_SIZE
    yield "initial", INITIAL_SIZE
    while True:
        flags, _, normal, size = struct.unpack_from(">4I", (yield PEEK, 24), 8)
        if flags & DEVICE_STATE:
            layout = DEVICE_STATE_LAYOUT
            size = layout.unpack((yield PEEK, layout.size))[-1]
            yield "device", layout.size + size + TRAILER_SIZE
        else:
            yield "sync" if flags & SYNC else "packet", HEADER_SIZE + (size if normal else 0)


class _Cutter:
    """Cuts one direction of a connection into what it is made of."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._held = bytearray()
        self._next = next(cut)

    def units(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """What is whole now, by name."""
        self._held += data
        while len(self._held) >= self._next[1]:
            what, size = self._next
            unit = bytes(self._held[:size])
            if what != PEEK:
                del self._held[:size]
            self._next = self._cut.send(unit)
            if what != PEEK:
                yield what, unit


_CUTS: dict[str, Callable[[Way], Cut]] = {"control": _control, "main": _main, "multif": _multifd}


class Meddler(Proxy):
    """Between two relays, changes one unit of one connection, once; the rest passes in units."""

    def __init__(
        self,
        listen: Place,
        target: Place,
        line: str,
        what: str,
        change: Change,
        *,
        nth: int = 0,
        way: Way = "forward",
    ) -> None:
        """
        :param line: "control", "main", "multifd 0", ….
        :param what: "opening", "hello", "message", "data", "mark", "end", "initial", "packet",
            "sync" or "device", each whole: with its head, payload and digest.
        :param nth: which of these, counted from 0.
        """
        self._line, self._what, self._way = line, what, way
        self._change = change
        self._left = nth
        self._cutters: dict[tuple[Line, Way], _Cutter] = {}
        super().__init__(listen, target, self._meddle)

    def _meddle(self, line: Line, way: Way, data: bytes) -> Iterator[bytes]:
        if line.name[:6] not in _CUTS and line.name not in _CUTS:
            yield data
            return
        key = line, way
        if key not in self._cutters:
            cut = _CUTS.get(line.name) or _CUTS[line.name[:6]]
            self._cutters[key] = _Cutter(cut(way))
        for what, unit in self._cutters[key].units(data):
            yield self._changed(unit) if self._met_by(line, way, what) else unit

    def _met_by(self, line: Line, way: Way, what: str) -> bool:
        if self.hit.is_set() or (line.name, way, what) != (self._line, self._way, self._what):
            return False
        self._left -= 1
        return self._left < 0

    def _changed(self, unit: bytes) -> bytes:
        self.hit.set()
        return self._change(unit)


def flip(at: int) -> Change:
    """Flip a bit of the byte at an offset; from the end if it is negative."""

    def change(unit: bytes) -> bytes:
        raw = bytearray(unit)
        raw[at] ^= 0x10
        return bytes(raw)

    return change


def drop(unit: bytes) -> bytes:
    """Let it vanish."""
    del unit
    return b""


def double(unit: bytes) -> bytes:
    """Let it come twice."""
    return unit * 2
