"""Sees in passing bytes how far a migration is, and says so between two pieces of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fault_blows import Way
from fault_proxy import Line
from ramferry.errors import RemoteProtocolError
from ramferry.wire.events import RamEnd
from ramferry.wire.main import MainParser
from ramferry.wire.return_path import ReturnPathParser, Shut

PHASES = ("setup", "round", "later", "switchover", "device", "answer", "after")
"""The first bytes of main; multifd packets; a later round of memory; ram's END is next to pass; it
has passed, and the devices are next; the destination's SHUT is next; it has passed."""

ROUND_BYTES = 200_000
"""multifd bytes, in whatever method, that make a migration be in its first round."""


class Phases:
    """What has been reached so far; the one that is waited for sets something off, once."""

    def __init__(self, wanted: str, do: Callable[[], None]) -> None:
        """:param do: called in the thread that sees the phase, before anything of it passes."""
        self.wanted = wanted
        self.seen: dict[str, float] = {}
        """When each was reached, ``time.monotonic``."""
        self._do = do
        self._lock = threading.Lock()

    def reach(self, phase: str) -> None:
        """A phase is reached."""
        with self._lock:
            if phase in self.seen:
                return
            self.seen[phase] = time.monotonic()
        if phase == self.wanted:
            self._do()


class StreamWatch:
    """A ``fault_proxy.Look`` that tells ``Phases``."""

    def __init__(self, phases: Phases) -> None:
        self._phases = phases
        self._bytes = 0

    def look(self, line: Line, way: Way, data: bytes) -> Iterator[bytes]:
        """Yield ``data`` cut where a phase begins."""
        if line.name.startswith("multifd"):
            self._count(way, data)
            yield data
            return
        if line.name != "main":
            yield data
            return
        if way == "forward":
            self._phases.reach("setup")
        done = 0
        for at, phase in self._borders(line, way, data):
            if at > done:
                yield data[done:at]
                done = at
            self._phases.reach(phase)
        if done < len(data):
            yield data[done:]

    def _count(self, way: Way, data: bytes) -> None:
        self._bytes += len(data) if way == "forward" else 0
        if self._bytes > ROUND_BYTES:
            self._phases.reach("round")

    def _borders(self, line: Line, way: Way, data: bytes) -> list[tuple[int, str]]:
        """Offsets in ``data`` at which a phase begins."""
        if line.watch is None:
            line.watch = {"forward": _Reader(MainParser()), "back": _Reader(ReturnPathParser())}
        reader = line.watch[way]  # type: ignore[index]
        begin = reader.offset
        borders: list[tuple[int, str]] = []
        for event in reader.feed(data):
            if isinstance(event, RamEnd):
                borders += [(event.start - begin, "switchover"), (event.end - begin, "device")]
            elif isinstance(event, Shut) and not event.error:
                borders += [(event.start - begin, "answer"), (event.end - begin, "after")]
        return [(min(max(at, 0), len(data)), phase) for at, phase in borders]


class _Reader:
    """A parser, until it meets what it does not understand."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self._deaf = False
        self.offset = 0

    def feed(self, data: bytes) -> Sequence[Any]:
        self.offset += len(data)
        if self._deaf:
            return ()
        try:
            return list(self._parser.feed(data))
        except RemoteProtocolError:
            self._deaf = True
            return ()
