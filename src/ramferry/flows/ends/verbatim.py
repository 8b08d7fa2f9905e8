"""Keeps the main channel without its pages, as it comes."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from ramferry.errors import RemoteProtocolError
from ramferry.flows.contracts import MainStream
from ramferry.wire.events import BlockList, Command, MainEvent, RamEnd, SectionEnd, SectionStart
from ramferry.wire.grammar import RAM, SectionType

MAX_KEPT: Final = 256 * 1024 * 1024
"""Ramferry's own limit on what is kept; the device state of a guest with a big framebuffer has some
MiB."""
_ANSWERED: Final = ("OPEN_RETURN_PATH", "PING")
"""Commands that concern only the receiver of this stream, and are not kept."""


class _Place(Enum):
    HEAD = auto()
    """Before ram's block list has ended."""
    RAM = auto()
    """In a section of ram, whose records are not kept."""
    BETWEEN = auto()
    TAIL = auto()


class Verbatim:
    """Keeps a stream's parts; ``feed`` takes each piece and the events that the parser found in
    it."""

    def __init__(self) -> None:
        self._place = _Place.HEAD
        self._pending = bytearray()
        """Bytes of the stream of which it is not known yet to which part they belong."""
        self._base = 0
        """The stream's offset of the first pending byte."""
        self._parts = {place: bytearray() for place in _Place}
        self._ram_section = 0

    def feed(self, data: memoryview, events: list[MainEvent]) -> None:
        """Take the stream's next bytes.

        :raise RemoteProtocolError: there are more than ``MAX_KEPT`` bytes to keep.
        """
        if self._place is _Place.RAM and not any(isinstance(one, SectionEnd) for one in events):
            self._base += len(data)  # nothing is pending here, and of pages nothing is kept
            return
        self._pending += data
        for event in events:
            match event:
                case Command() if event.name in _ANSWERED:
                    self._keep(event.start)
                    self._drop(event.end)
                case BlockList():
                    self._keep(event.end)
                    self._place = _Place.RAM
                case SectionStart() if event.idstr == RAM:
                    self._ram_section = event.section_id
                    if event.kind is not SectionType.START:
                        self._keep(event.start)
                        self._place = _Place.RAM
                case SectionEnd() if event.idstr == RAM:
                    self._drop(event.end)
                    self._place = _Place.BETWEEN
                case RamEnd():
                    self._place = _Place.TAIL
        if self._place is _Place.RAM:
            self._drop(self._base + len(self._pending))
        self._check(len(self._pending))

    def ended(self) -> MainStream:
        """The parts, after the end of the stream."""
        self._keep(self._base + len(self._pending))
        head, between, tail = (
            bytes(self._parts[place]) for place in (_Place.HEAD, _Place.BETWEEN, _Place.TAIL)
        )
        return MainStream(head, self._ram_section, between, tail)

    def _keep(self, end: int) -> None:
        """Add the pending bytes before the stream's offset ``end`` to the current part."""
        part = self._parts[self._place]
        part += self._pending[: end - self._base]
        self._drop(end)

    def _drop(self, end: int) -> None:
        del self._pending[: end - self._base]
        self._base = end

    def _check(self, pending: int) -> None:
        kept = pending + sum(map(len, self._parts.values()))
        if kept > MAX_KEPT:
            raise RemoteProtocolError(
                f"at most {MAX_KEPT >> 20} MiB of device state", f"{kept} bytes", channel="main"
            )
