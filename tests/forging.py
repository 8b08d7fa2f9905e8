"""Save files changed by somebody who makes their CRCs right again, and what their readers say."""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ramferry.errors import RamferryError
from ramferry.flows.archive.format import (
    CHUNK,
    FOOTER_SIZE,
    OPENING,
    crc32,
    pack_footer,
    pack_numbers,
    unpack_footer,
    unpack_numbers,
)
from ramferry.flows.archive.reader import Archive
from ramferry.flows.ends.archive_source import with_return_path
from ramferry.flows.inspection import inspect_archive
from ramferry.report.inspection import print_inspection

NUMBERS = (0, 1, -1, 2, 3, 7, 512, 4096, -4096, 65536, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1)
NUMBERS += (2**64, 2**64 - 4096, 2**44, 2**44 + 4096, 10**30)
VALUES: tuple[Any, ...] = (
    *NUMBERS,
    0.5,
    1e3,
    1e308,
    "",
    "0",
    "4096",
    "zz",
    "odd",
    "\x1b[2J",
    "[/x]",
)
VALUES += ("a\nb", "é" * 300, "none", "zlib", None, True, False, [], {}, [1], {"a": 1}, "0" * 32)
FIELDS = {"offset": "<Q", "size": "<I", "crc": "<I", "block": "<H", "pages": "<H"}


class Forger:
    """One file's pieces, to be changed and put together with right CRCs."""

    def __init__(self, sound: bytes) -> None:
        place = unpack_footer(sound[-FOOTER_SIZE:], len(sound))
        self.directory: Any = json.loads(sound[place.offset : place.offset + place.size])
        self.parts = {
            name: bytearray(sound[part["offset"] : part["offset"] + part["size"]])
            for name, part in self.directory["parts"].items()
        }
        first = min(part["offset"] for part in self.directory["parts"].values())
        self.chunks = bytearray(sound[len(OPENING) : first])
        self.raw_directory: bytes | None = None

    @property
    def rows(self) -> int:
        return len(self.parts["chunks"]) // CHUNK.itemsize

    def lay_out(self) -> None:
        """Let the directory's places and CRCs be those of the parts as they are now."""
        at = len(OPENING) + len(self.chunks)
        for name, data in self.parts.items():
            self.directory["parts"][name] = {"offset": at, "size": len(data), "crc": crc32(data)}
            at += len(data)

    def build(self) -> bytes:
        body = OPENING + self.chunks + b"".join(self.parts.values())
        directory = self.raw_directory
        if directory is None:
            directory = json.dumps(self.directory, separators=(",", ":")).encode()
        return body + directory + pack_footer(len(body), directory)

    def field(self, row: int, name: str, value: int | None = None) -> int:
        """Read a field of the chunk table, or write it."""
        at = row * CHUNK.itemsize + CHUNK.fields[name][1]  # type: ignore[index]
        old: int = struct.unpack_from(FIELDS[name], self.parts["chunks"], at)[0]
        if value is not None:
            size = struct.calcsize(FIELDS[name])
            raw = (value % (1 << 8 * size)).to_bytes(size, "little")
            self.parts["chunks"][at : at + size] = raw
        return old


def directory_value(forger: Forger, chance: random.Random) -> None:
    """Any value in any place of the directory, the parts' places included."""
    forger.lay_out()
    holders = [forger.directory, *forger.directory["blocks"], *forger.directory["parts"].values()]
    holder = chance.choice(holders)
    holder[chance.choice(list(holder))] = chance.choice(VALUES)


def directory_shape(forger: Forger, chance: random.Random) -> None:
    """A key too few or too many, a block twice, none or another order; no JSON."""
    forger.lay_out()
    directory = forger.directory
    match chance.randrange(8):
        case 0:
            del directory[chance.choice(list(directory))]
        case 1:
            directory[chance.choice(["more", "path", "Machine"])] = chance.choice(VALUES)
        case 2:
            directory["blocks"].append(dict(chance.choice(directory["blocks"])))
        case 3:
            directory["blocks"].pop(chance.randrange(len(directory["blocks"])))
        case 4:
            directory["blocks"].reverse()
        case 5:
            del directory["parts"][chance.choice(list(directory["parts"]))]
        case 6:
            forger.directory = chance.choice(VALUES)
        case 7:
            junk = (b"", b"{", b"\xff" * 9, b"[" * 200_000, b'{"machine":' * 3000, b"NaN", b"1e999")
            forger.raw_directory = chance.choice(junk)


def chunk_field(forger: Forger, chance: random.Random) -> None:
    """A field of the chunk table: some value, or one that is off by a little."""
    row, name = chance.randrange(forger.rows), chance.choice(list(FIELDS))
    near = forger.field(row, name) + chance.choice([-20, -2, -1, 1, 2, 20])
    forger.field(row, name, chance.choice([near, *(abs(value) for value in NUMBERS)]))
    forger.lay_out()


def chunk_rows(forger: Forger, chance: random.Random) -> None:
    """Two rows swapped in part or in whole, one twice, one missing."""
    table, size = forger.parts["chunks"], CHUNK.itemsize
    one, other = chance.randrange(forger.rows), chance.randrange(forger.rows)
    match chance.randrange(4):
        case 0:
            for name in chance.sample(list(FIELDS), chance.randrange(1, 6)):
                forger.field(other, name, forger.field(one, name, forger.field(other, name)))
        case 1:
            table += table[one * size : (one + 1) * size]
        case 2:
            del table[one * size : (one + 1) * size]
        case 3:
            del table[-chance.randrange(1, size) :]
    forger.lay_out()


def page_numbers(forger: Forger, chance: random.Random) -> None:
    """Other page numbers, as many as there were or one more or less."""
    count = sum(forger.field(row, "pages") for row in range(forger.rows))
    numbers = unpack_numbers(bytes(forger.parts["pages"]), count).copy()
    at = chance.randrange(count)
    match chance.randrange(3):
        case 0:
            numbers[at] = numbers[chance.randrange(count)]
        case 1:
            numbers[at] = abs(chance.choice(NUMBERS)) % 2**32
        case 2:
            numbers = numbers[: count - 1]
    forger.parts["pages"] = bytearray(pack_numbers([numbers]))
    forger.lay_out()


def part_bytes(forger: Forger, chance: random.Random) -> None:
    """Bits flipped in a part, bytes gone or more of them."""
    data = forger.parts[chance.choice([name for name, part in forger.parts.items() if part])]
    at = chance.randrange(len(data))
    match chance.randrange(4):
        case 0 | 1:
            data[at] ^= 1 << chance.randrange(8)
        case 2:
            del data[at : at + chance.randrange(1, 9)]
        case 3:
            data[at:at] = chance.randbytes(chance.randrange(1, 9))
    forger.lay_out()


def chunk_bytes(forger: Forger, chance: random.Random) -> None:
    """A chunk's own bytes, under a right CRC."""
    row = chance.randrange(forger.rows)
    at, size = forger.field(row, "offset") - len(OPENING), forger.field(row, "size")
    forger.chunks[at + chance.randrange(size)] ^= 1 << chance.randrange(8)
    forger.field(row, "crc", crc32(forger.chunks[at : at + size]))
    forger.lay_out()


def more_bytes(forger: Forger, chance: random.Random) -> None:
    """Bytes between chunks and parts that are nobody's."""
    forger.chunks += chance.randbytes(chance.randrange(1, 99))
    forger.lay_out()


FORGERIES: tuple[Callable[[Forger, random.Random], None], ...] = (
    directory_value,
    directory_value,
    directory_shape,
    chunk_field,
    chunk_field,
    chunk_rows,
    page_numbers,
    part_bytes,
    part_bytes,
    chunk_bytes,
    more_bytes,
)


def forged(sound: bytes, chance: random.Random) -> tuple[bytes, str]:
    """A forged file, and the name of what was done."""
    forger, what = Forger(sound), chance.choice(FORGERIES)
    what(forger, chance)
    return forger.build(), what.__name__


def forge(sound: bytes, seed: int, path: Path) -> str:
    """Write the forged file of a seed; the name of what was done."""
    raw, what = forged(sound, random.Random(seed))
    path.write_bytes(raw)
    return what


# --- what the readers say of a file


def restored(path: Path, *, framed: bool) -> None:
    """Read all that ``restore`` reads; fails where a page would come twice, never or outside."""
    buffer = memoryview(bytearray(512 * 1024))
    with Archive(path) as archive:
        page = archive.directory.page_size
        seen = {block.name: np.zeros(block.size // page, int) for block in archive.directory.blocks}
        for number, block in enumerate(archive.directory.blocks):
            seen[block.name][archive.zero_pages(number) // page] += 1
        for batch in archive.batches(framed=framed and archive.framed_for({"zstd"})):
            pages = batch.load(buffer)
            assert (pages.normal % page == 0).all()
            assert pages.payload or len(pages.data) == len(pages.normal) * page
            np.add.at(seen[pages.block], pages.normal // page, 1)
        with_return_path(archive.stream.head)
        bytes.fromhex(archive.directory.uuid)
    assert all((counts == 1).all() for counts in seen.values()), "a page is missing, or there twice"


def judged(path: Path, *, framed: bool = False) -> str:
    """What ``restore``'s reader says of a file: its error's sentence, or nothing."""
    try:
        restored(path, framed=framed)
    except RamferryError as error:
        return str(error)
    return ""


def inspected(path: Path) -> str:
    """What ``inspect`` says of it."""
    try:
        found = inspect_archive(path)
    except RamferryError as error:
        return str(error)
    print_inspection(found, Console(file=io.StringIO(), width=200))
    return found.fault
