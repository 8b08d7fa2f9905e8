"""Pieces of the main channel as bytes, for a side that sends a stream of its own.

The grammar is in ``grammar``; ``docs/wire-format.md`` has the tables.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ramferry.wire.copying import section_footer
from ramferry.wire.events import BlockEntry
from ramferry.wire.grammar import MAGIC, RAM, RAM_VERSION, VERSION, RamFlag, SectionType
from ramferry.wire.ram import Mode

EOS = struct.pack(">Q", RamFlag.EOS)
FLUSH = struct.pack(">Q", RamFlag.MULTIFD_FLUSH)
_ZERO_RECORD = np.dtype([("word", ">u8"), ("fill", "u1")])


def stream_start(machine: str) -> bytes:
    """Header and configuration.

    :param machine: the machine type's versioned name.
    """
    name = machine.encode()
    header = MAGIC + struct.pack(">I", VERSION)
    return header + struct.pack(">BI", SectionType.CONFIGURATION, len(name)) + name


def named_section(
    kind: SectionType, section_id: int, idstr: str, version: int, *, instance: int = 0
) -> bytes:
    """The header of a START or FULL section."""
    name = idstr.encode()
    head = struct.pack(">BIB", kind, section_id, len(name))
    return head + name + struct.pack(">II", instance, version)


def ram_start(section_id: int, blocks: Sequence[BlockEntry]) -> bytes:
    """Ram's START with its block list, up to where its mark comes."""
    total = sum(block.used_length for block in blocks)
    parts = [
        named_section(SectionType.START, section_id, RAM, RAM_VERSION),
        struct.pack(">Q", total | RamFlag.MEM_SIZE),
    ]
    for block in blocks:
        name = block.name.encode()
        parts.append(struct.pack(">B", len(name)) + name + struct.pack(">Q", block.used_length))
    return b"".join(parts)


def full_section(section_id: int, idstr: str, version: int, body: bytes) -> bytes:
    """A device's whole state, header and footer included."""
    head = named_section(SectionType.FULL, section_id, idstr, version)
    return head + body + section_footer(section_id)


def stream_end(description: bytes) -> bytes:
    """The end of stream.

    :param description: the VM description, JSON text.
    """
    length = struct.pack(">BI", SectionType.VMDESCRIPTION, len(description))
    return bytes([SectionType.EOF]) + length + description


def command(number: int, data: bytes = b"") -> bytes:
    """A command to the destination."""
    return struct.pack(">BHH", SectionType.COMMAND, number, len(data)) + data


def section(kind: SectionType, section_id: int) -> bytes:
    """The header of a PART or END section."""
    return struct.pack(">BI", kind, section_id)


def round_end(section_id: int, mode: Mode, *, synced: bool = True) -> tuple[bytes, bytes]:
    """The end of a section of ram: its sync mark, and the bytes that follow the mark.

    :param synced: whether every channel sends a SYNC for it; in mode "section" every channel must.
    """
    footer = section_footer(section_id)
    if mode == "section":
        return EOS, footer
    return (FLUSH if synced else b""), EOS + footer


def zero_records(block: str, offsets: NDArray[np.uint64]) -> bytes:
    """Records of zero pages: the first names the block, the others continue in it."""
    if not len(offsets):
        return b""
    name = block.encode()
    first = struct.pack(">QB", int(offsets[0]) | RamFlag.ZERO, len(name)) + name + b"\0"
    rest = np.zeros(len(offsets) - 1, _ZERO_RECORD)
    rest["word"] = offsets[1:] | np.uint64(RamFlag.ZERO | RamFlag.CONTINUE)
    return first + rest.tobytes()
