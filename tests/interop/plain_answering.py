"""A proxy that strikes at an exact place of the switchover of a plain stream, which two relays
carry in pieces over several connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from answering import Cutter
from plain_relaying import prepare

from fault_blows import Way
from fault_proxy import Line
from ramferry.bench.qemu import Qemu
from ramferry.codec import create_decoder
from ramferry.vocabulary import PAGE_SIZE
from ramferry.wire.relay_opening import OPENING_SIZE, PLACE_SIZE, parse_opening
from ramferry.wire.relay_stream import (
    HEAD_SIZE,
    Direction,
    PieceHead,
    PieceKind,
    Seal,
    order,
)

SECONDS = 30.0
"""That a piece waits for those before it: longer than a relay is made to stand still in a test."""
_OPENS = OPENING_SIZE + PLACE_SIZE


def ready(qemu: Qemu) -> None:
    """Set what one end of the migration needs."""
    prepare(qemu, "return-path")


@dataclass
class _Course:
    """One direction of the stream."""

    direction: Direction
    next: int = 0
    """The number of the piece that is looked at next."""
    over: bool = False
    """Whether one of them was lost."""
    turn: threading.Condition = field(default_factory=threading.Condition)


class PieceCutter(Cutter):
    """Knows a tunnel's pieces, looks at them in the stream's order, and strikes once."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._courses: dict[Way, _Course] = {
            "forward": _Course(Direction.ONWARD),
            "back": _Course(Direction.BACK),
        }
        self._pending: dict[tuple[Line, Way], bytearray] = {}
        self._token = b""
        super().__init__(*arguments, **named)

    def close(self) -> None:
        """See ``Proxy``; pieces that wait for lost ones wait no longer."""
        for course in self._courses.values():
            with course.turn:
                course.over = True
                course.turn.notify_all()
        super().close()

    def _frames(self, line: Line, way: Way, data: bytes) -> Iterator[bytes]:
        self.passed += len(data)
        if not line.name.startswith("stream"):
            yield data
            return
        first = way == "forward" and (line, way) not in self._pending
        buffer = self._pending.setdefault((line, way), bytearray())
        buffer += data
        if first:
            assert len(buffer) >= _OPENS
            self._token = parse_opening(buffer[:OPENING_SIZE]).token
            yield bytes(buffer[:_OPENS])
            del buffer[:_OPENS]
        while len(buffer) >= HEAD_SIZE:
            head = self._seal(way).parse(memoryview(bytes(buffer[:HEAD_SIZE])), PAGE_SIZE)
            size = HEAD_SIZE + head.payload
            if len(buffer) < size:
                return
            piece = bytes(buffer[:size])
            del buffer[:size]
            yield from self._piece(way, head, piece)

    def _seal(self, way: Way) -> Seal:
        return Seal(self._token, self._courses[way].direction, payloads=True)

    def _piece(self, way: Way, head: PieceHead, piece: bytes) -> Iterator[bytes]:
        if head.kind is PieceKind.END:
            yield piece
            return
        course = self._courses[way]
        with course.turn:
            course.turn.wait_for(lambda: course.next == head.number or course.over, SECONDS)
            try:
                if course.next != head.number:
                    raise ConnectionAbortedError  # those before it were lost with their connection
                yield from self._looked_at(way, head, piece)
            except OSError:
                course.over = True
                raise
            finally:
                course.next += 1
                course.turn.notify_all()

    def _looked_at(self, way: Way, head: PieceHead, piece: bytes) -> Iterator[bytes]:
        content = memoryview(bytearray(head.content(PAGE_SIZE)))
        payload = memoryview(piece)[HEAD_SIZE:]
        if head.method == "none":
            content[:] = payload
        else:
            create_decoder(head.method).decode(payload, content)
        data = b"".join(order(head, content, PAGE_SIZE))
        return self.strike_in(piece, self.what(way, data))
