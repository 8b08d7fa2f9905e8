"""Pieces of the main channel as bytes, for a side that sends a stream of its own.

The grammar is in ``layout``; ``docs/wire-format.md`` has the tables.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from ramferry.wire.copying import section_footer
from ramferry.wire.layout import RamFlag, SectionType
from ramferry.wire.ram import Mode

EOS = struct.pack(">Q", RamFlag.EOS)
FLUSH = struct.pack(">Q", RamFlag.MULTIFD_FLUSH)
_ZERO_RECORD = np.dtype([("word", ">u8"), ("fill", "u1")])


def command(number: int, data: bytes = b"") -> bytes:
    """A command to the destination."""
    return struct.pack(">BHH", SectionType.COMMAND, number, len(data)) + data


def section(kind: SectionType, section_id: int) -> bytes:
    """What opens a PART or END."""
    return struct.pack(">BI", kind, section_id)


def round_end(section_id: int, mode: Mode, *, synced: bool = True) -> tuple[bytes, bytes]:
    """What ends a section of ram: its sync mark, and what comes behind it.

    :param synced: whether every channel sends a SYNC for it; in mode "section" it must.
    """
    footer = section_footer(section_id)
    if mode == "section":
        return EOS, footer
    return (FLUSH if synced else b""), EOS + footer


def zero_records(block: str, offsets: NDArray[np.uint64]) -> bytes:
    """Records of zero pages: the first names its block, the others go on with it."""
    if not len(offsets):
        return b""
    name = block.encode()
    first = struct.pack(">QB", int(offsets[0]) | RamFlag.ZERO, len(name)) + name + b"\0"
    rest = np.zeros(len(offsets) - 1, _ZERO_RECORD)
    rest["word"] = offsets[1:] | np.uint64(RamFlag.ZERO | RamFlag.CONTINUE)
    return first + rest.tobytes()
