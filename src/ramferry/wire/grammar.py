"""The main channel's grammar: numbers, names and bounds of QEMU's migration stream.

Read off captures of QEMU 7.2 to 11.1; ``docs/wire-format.md`` has the tables::

    stream        = header configuration? item* end?
    header        = "QEVM" u32 version
    configuration = 07 u32 len machine-name subsection*
    item          = command | section
    section       = (01|04) id u8 len idstr instance version body footer
                  | (02|03) id body footer
    footer        = 7e id
    end           = 00 (06 u32 len json)?
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from types import MappingProxyType
from typing import Final

from ramferry.vocabulary import (
    ENABLE_COLO,
    OPEN_RETURN_PATH,
    PACKAGED,
    PING,
    POSTCOPY_ADVISE,
    POSTCOPY_LISTEN,
    POSTCOPY_RAM_DISCARD,
    POSTCOPY_RESUME,
    POSTCOPY_RUN,
    RECV_BITMAP,
    SWITCHOVER_START,
)

MAGIC: Final = b"QEVM"
VERSION: Final = 3
RAM: Final = "ram"
RAM_VERSION: Final = 4
DIRTY_BITMAP: Final = "dirty-bitmap"
DIRTY_BITMAP_VERSION: Final = 1
FOOTER: Final = 0x7E
RECORD_SIZE: Final = 8
"""Bytes of a RAM record's first word, and all there is of EOS and MULTIFD_FLUSH."""
ZERO_RECORD_SIZE: Final = RECORD_SIZE + 1
"""Bytes of a zero page's record whose block is the one before: the word and a fill byte of 0."""

MAX_MACHINE_NAME: Final = 256
MAX_NAME: Final = 255
"""Longest name of a RAM block, section or capability: its length is one byte."""
MAX_BLOCKS: Final = 4096
"""Ramferry's own limit; a guest with 256 pluggable DIMMs and their ROMs has fewer than 600 RAM
blocks."""
MAX_SECTIONS: Final = 4096
"""Ramferry's own limit on the START and FULL sections before ram's END."""
MAX_CAPABILITIES: Final = 64
"""Ramferry's own limit; QEMU 11.1 checks two."""
MAX_BITMAP_CHUNK: Final = 1024 * 1024
"""Ramferry's own limit, in bytes; QEMU cuts dirty bitmaps into chunks of 1 KiB."""


class SectionType(IntEnum):
    """The byte that opens every item after the stream's header."""

    EOF = 0x00
    START = 0x01
    PART = 0x02
    END = 0x03
    FULL = 0x04
    SUBSECTION = 0x05
    """Follows the configuration. Device bodies have subsections too, but nothing here reads
    those."""
    VMDESCRIPTION = 0x06
    CONFIGURATION = 0x07
    COMMAND = 0x08


class State(Enum):
    """What has been read of the main channel, and so which items may come next."""

    HEADER = auto()
    OPENING = auto()
    """The header was read."""
    CONFIGURED = auto()
    """The configuration was read; its subsections may follow."""
    SETUP = auto()
    """Sections have begun, but not ram's."""
    ROUNDS = auto()
    """Ram's START was read: every mark from here on counts."""
    TAIL = auto()
    """Ram's END was read: no marks follow, and everything is copied."""
    ENDED = auto()
    """The EOF byte was read."""
    DESCRIBED = auto()
    """The VM description was read: nothing may follow."""


TRANSITIONS: Final[Mapping[State, Mapping[SectionType, State]]] = {
    State.HEADER: {},
    State.OPENING: {
        SectionType.CONFIGURATION: State.CONFIGURED,
        SectionType.COMMAND: State.SETUP,
        SectionType.START: State.SETUP,
        SectionType.FULL: State.SETUP,
    },
    State.CONFIGURED: {
        SectionType.SUBSECTION: State.CONFIGURED,
        SectionType.COMMAND: State.SETUP,
        SectionType.START: State.SETUP,
        SectionType.FULL: State.SETUP,
    },
    State.SETUP: {
        SectionType.COMMAND: State.SETUP,
        SectionType.START: State.SETUP,
        SectionType.FULL: State.SETUP,
        SectionType.PART: State.SETUP,
        SectionType.END: State.SETUP,
        SectionType.EOF: State.ENDED,
    },
    State.ROUNDS: {
        SectionType.COMMAND: State.ROUNDS,
        SectionType.START: State.ROUNDS,
        SectionType.FULL: State.ROUNDS,
        SectionType.PART: State.ROUNDS,
        SectionType.END: State.ROUNDS,
    },
    State.TAIL: {},
    State.ENDED: {SectionType.VMDESCRIPTION: State.DESCRIBED},
    State.DESCRIBED: {},
}
"""By state, the section types that may come and the state that follows; any other is refused.

Three steps are not taken by a section type: HEADER → OPENING by the header's eight bytes, SETUP →
ROUNDS by the name ``ram`` in a START, ROUNDS → TAIL by the footer of ram's END.
"""


class RamFlag(IntEnum):
    """Low bits of a RAM record's word: exactly one of them, with or without CONTINUE."""

    ZERO = 0x02
    MEM_SIZE = 0x04
    PAGE = 0x08
    EOS = 0x10
    CONTINUE = 0x20
    """The record belongs to the same block as the one before; the name is left out."""
    XBZRLE = 0x40
    HOOK = 0x80
    COMPRESS = 0x100
    MULTIFD_FLUSH = 0x200


class BitmapFlag(IntEnum):
    """The byte that opens a record of a dirty-bitmap section."""

    EOS = 0x01
    ZEROES = 0x02
    BITMAP_NAME = 0x04
    NODE_NAME = 0x08
    START = 0x10
    COMPLETE = 0x20
    BITS = 0x40


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command's name and how many data bytes it may have."""

    name: str
    lengths: Sequence[int]


_DISCARD_RANGES: Final = 12
"""Most ranges that QEMU puts in one POSTCOPY_RAM_DISCARD."""

COMMANDS: Final[Mapping[int, CommandSpec]] = MappingProxyType(
    {
        OPEN_RETURN_PATH: CommandSpec("OPEN_RETURN_PATH", (0,)),
        PING: CommandSpec("PING", (4,)),
        POSTCOPY_ADVISE: CommandSpec("POSTCOPY_ADVISE", (0, 16)),
        POSTCOPY_LISTEN: CommandSpec("POSTCOPY_LISTEN", (0,)),
        POSTCOPY_RUN: CommandSpec("POSTCOPY_RUN", (0,)),
        # a version, a counted name with a NUL behind it, then ranges of two u64
        POSTCOPY_RAM_DISCARD: CommandSpec(
            "POSTCOPY_RAM_DISCARD", range(3, 1 + 257 + 16 * _DISCARD_RANGES + 1)
        ),
        PACKAGED: CommandSpec("PACKAGED", (4,)),
        ENABLE_COLO: CommandSpec("ENABLE_COLO", (0,)),
        POSTCOPY_RESUME: CommandSpec("POSTCOPY_RESUME", (0,)),
        RECV_BITMAP: CommandSpec("RECV_BITMAP", range(2, 257)),
        SWITCHOVER_START: CommandSpec("SWITCHOVER_START", (0,)),
    }
)
