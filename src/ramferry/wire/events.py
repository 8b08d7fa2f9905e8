"""What the main channel says, one frozen record each.

``start`` and ``end`` are absolute byte offsets in the main stream of the bytes an event speaks of.
An event is given as soon as the byte before ``end`` has been fed; only a copied body's
Resynchronised and SectionEnd come when the bytes behind them have shown that the body is over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ramferry.wire.grammar import SectionType


@dataclass(frozen=True, slots=True)
class BlockEntry:
    """One entry of the block list."""

    name: str
    used_length: int
    """Bytes."""
    page_size: int
    """Target page size in bytes."""


@dataclass(frozen=True, slots=True)
class MainEvent:
    """Base of all events."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class StreamHeader(MainEvent):
    """``QEVM`` and a version."""

    version: int


@dataclass(frozen=True, slots=True)
class Configuration(MainEvent):
    """The machine type's versioned name; subsections may follow."""

    machine: str


@dataclass(frozen=True, slots=True)
class ConfigurationSubsection(MainEvent):
    """One thing the destination must agree with."""

    name: str
    """ "target-page-bits", "capabilities" or "uuid"."""
    value: int | tuple[str, ...] | bytes
    """The bits; the capabilities' names; the UUID's 16 bytes."""


@dataclass(frozen=True, slots=True)
class Command(MainEvent):
    """A command to the destination, data included; a PACKAGED's package comes after it."""

    number: int
    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class SectionStart(MainEvent):
    """A section's own header; its body comes next."""

    kind: SectionType
    """START, PART, END or FULL."""
    section_id: int
    idstr: str
    """For a PART or END, taken from the section's START."""
    instance: int
    version: int


@dataclass(frozen=True, slots=True)
class SectionEnd(MainEvent):
    """A section's footer."""

    kind: SectionType
    section_id: int
    idstr: str


@dataclass(frozen=True, slots=True)
class BlockList(MainEvent):
    """The guest's RAM blocks, in the order of the stream."""

    blocks: tuple[BlockEntry, ...]
    total: int
    """Sum of the used lengths in bytes."""


@dataclass(frozen=True, slots=True)
class MappedBlock(MainEvent):
    """A RAM block of a mapped-ram file, its pages included; comes before the block list."""

    block: str
    pages: int
    """Pages that are in the file; all others are zero."""


@dataclass(frozen=True, slots=True)
class SyncMark(MainEvent):
    """The eight bytes at which a destination waits for one SYNC on every multifd channel."""

    index: int
    """Counted from 0."""


@dataclass(frozen=True, slots=True)
class ZeroPages(MainEvent):
    """Zero pages of one RAM block; only from a parser that was asked for pages."""

    block: str
    offsets: NDArray[np.uint64]
    """Byte offsets in the block, in the order of the stream."""


@dataclass(frozen=True, slots=True)
class PageRun(MainEvent):
    """Pages with content, of one block; only from a parser that was asked for pages."""

    block: str
    offsets: NDArray[np.uint64]
    """In the order of the stream."""
    content: NDArray[np.uint8]
    """A row for each page. The rows do not lie side by side, and are valid as long as the bytes
    that were fed."""


@dataclass(frozen=True, slots=True)
class RamEnd(MainEvent):
    """Ram's END section, footer included: no marks follow, and the rest is copied."""


@dataclass(frozen=True, slots=True)
class NotParsed(MainEvent):
    """A section type that cannot be read has come for the first time; its body begins at ``start``,
    which is ``end`` too."""

    idstr: str
    section_id: int
    why: str


@dataclass(frozen=True, slots=True)
class Resynchronised(MainEvent):
    """The footer of a body that could not be read was found; the body goes from ``start`` to
    ``end``."""

    idstr: str
    section_id: int


@dataclass(frozen=True, slots=True)
class Unread(MainEvent):
    """From here on the stream cannot be parsed, and what follows is bytes; no parser gives it, but
    whoever feeds one that failed."""

    why: str


@dataclass(frozen=True, slots=True)
class EndOfStream(MainEvent):
    """The EOF byte, or the EOF byte and the VM description.

    After ram's END nothing is parsed, so that this is only what looks like the end. It is the end
    if no byte follows.
    """

    vmdesc_length: int | None
    """Bytes of JSON; None if there is only the EOF byte."""


@dataclass(frozen=True, slots=True)
class Closed(MainEvent):
    """The connection ended, at a place where a stream may end; ``start`` and ``end`` are that
    place."""

    certain: bool
    """False if the parser was copying: then a complete stream looks like one that was cut."""
