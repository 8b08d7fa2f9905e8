"""Main-channel streams made piece by piece, with the marks they contain; and how to feed them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from ramferry.errors import RemoteProtocolError
from ramferry.wire.events import MainEvent, SyncMark
from ramferry.wire.main import MainParser

GOLDEN = Path(__file__).parent / "golden"
PAGE = 4096
RAM_ID = 2
HEADER = b"QEVM\x00\x00\x00\x03"
CONFIGURATION = b"\x07\x00\x00\x00\x02pc"
ZERO, PAGE_FLAG, EOS, CONTINUE, FLUSH = 0x02, 0x08, 0x10, 0x20, 0x200


def counted(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def footer(section_id: int) -> bytes:
    return struct.pack(">BI", 0x7E, section_id)


def start(section_id: int, idstr: bytes, version: int, *, kind: int = 1) -> bytes:
    """The header of a START (or FULL) section."""
    return struct.pack(">BI", kind, section_id) + counted(idstr) + struct.pack(">II", 0, version)


def part(section_id: int, *, kind: int = 2) -> bytes:
    """The header of a PART (or END) section."""
    return struct.pack(">BI", kind, section_id)


def command(number: int, data: bytes = b"") -> bytes:
    return struct.pack(">BHH", 8, number, len(data)) + data


def record(offset: int, flags: int, rest: bytes = b"") -> bytes:
    return struct.pack(">Q", offset | flags) + rest


def block_list(blocks: Sequence[tuple[bytes, int]], total: int | None = None) -> bytes:
    size = sum(length for _, length in blocks) if total is None else total
    entries = (counted(name) + struct.pack(">Q", length) for name, length in blocks)
    return record(size, 0x04) + b"".join(entries)


def vmdesc(text: bytes = b'{"page_size": 4096}') -> bytes:
    """EOF and the VM description."""
    return struct.pack(">BBI", 0, 6, len(text)) + text


class Stream:
    """A stream under construction, in one of the two sync modes."""

    def __init__(self, *, rounds: bool) -> None:
        self.rounds = rounds
        self.data = bytearray(HEADER + CONFIGURATION)
        self.marks: list[tuple[int, int]] = []
        """Where each mark's record begins and ends."""

    def add(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.data += piece

    def flush(self) -> None:
        """A MULTIFD_FLUSH, which is a mark."""
        self.marks.append((len(self.data), len(self.data) + 8))
        self.add(record(0, FLUSH))

    def eos(self) -> None:
        """The end of a section's body, which is a mark where there are no rounds."""
        if not self.rounds:
            self.marks.append((len(self.data), len(self.data) + 8))
        self.add(record(0, EOS))

    def ram_start(self, blocks: Sequence[tuple[bytes, int]]) -> None:
        self.add(start(RAM_ID, b"ram", 4), block_list(blocks))
        if self.rounds:
            self.flush()
        self.eos()
        self.add(footer(RAM_ID))

    def ram(self, *records: bytes, kind: int = 2, flush: bool = True) -> None:
        """A PART or END of ram; in round mode a MULTIFD_FLUSH ends its round."""
        self.add(part(RAM_ID, kind=kind), *records)
        if self.rounds and flush:
            self.flush()
        self.eos()
        self.add(footer(RAM_ID))


def begun(*, rounds: bool = False, blocks: Sequence[tuple[bytes, int]] = ()) -> Stream:
    """A stream up to and including ram's START."""
    stream = Stream(rounds=rounds)
    stream.ram_start(blocks or ((b"pc.ram", 64 * PAGE), (b"/rom@etc/acpi/tables", 2 * PAGE)))
    return stream


def marks(events: Iterable[MainEvent]) -> list[tuple[int, int]]:
    return [(event.start, event.end) for event in events if isinstance(event, SyncMark)]


def pieces(data: bytes, cuts: Iterable[int] = ()) -> list[bytes]:
    """``data`` cut at these places."""
    return [data[first:last] for first, last in pairwise(sorted({0, len(data), *cuts}))]


def feed(data: bytes, cuts: Iterable[int] = ()) -> tuple[list[MainEvent], str]:
    """Events of ``data`` fed in pieces, and the error it ended in, at its end or before."""
    parser = MainParser()
    events: list[MainEvent] = []
    try:
        for piece in map(bytearray, pieces(data, cuts)):
            events += parser.feed(piece)
            piece.clear()  # fails where the parser still held on to the caller's buffer
        parser.eof()
    except RemoteProtocolError as error:
        return events, str(error)
    return events, ""
