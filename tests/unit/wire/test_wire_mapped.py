"""mapped-ram files, by their literal bytes."""

from __future__ import annotations

import struct

import pytest

from ramferry.errors import RemoteProtocolError
from ramferry.wire.events import BlockList, MainEvent, MappedBlock
from ramferry.wire.main import MainParser

PAGE = 4096
MIB = 1 << 20
OPENING = (
    bytes.fromhex("5145564d 00000003 07 0000000e")
    + b"pc-i440fx-10.0"
    + bytes.fromhex("05 1a")
    + b"configuration/capabilities"
    + bytes.fromhex("00000001 00000001 0a")
    + b"mapped-ram"
    + bytes.fromhex("01 00000002 03")
    + b"ram"
    + bytes.fromhex("00000000 00000004")
)
END = bytes.fromhex("0000000000000010 7e00000002 0300000002 0000000000000010 7e00000002")
END += b'\x00\x06\x00\x00\x00\x0f{"devices": []}'


def file(
    sizes: dict[str, tuple[int, bytes]],
    *,
    base: int = 0,
    version: int = 1,
    page: int = PAGE,
    shift: int = 0,
    pages_at: int | None = None,
) -> bytes:
    """A file of blocks with these sizes and bitmaps, whose stream begins at ``base``."""
    raw = bytearray(OPENING)
    raw += (sum(size for size, _ in sizes.values()) | 4).to_bytes(8, "big")
    for name, (size, bitmap) in sizes.items():
        raw += bytes([len(name)]) + name.encode() + size.to_bytes(8, "big")
        at = base + len(raw) + 28
        place = -(-(at + len(bitmap)) // MIB) * MIB
        raw += struct.pack(">IQQQ", version, page, at + shift, pages_at or place) + bitmap
        raw += bytes(place - base - len(raw)) + b"x" * size
    return bytes(raw + END)


def parsed(raw: bytes, step: int, base: int = 0) -> list[MainEvent]:
    parser, events = MainParser(mapped_at=base), []
    for at in range(0, len(raw), step):
        events += parser.feed(raw[at : at + step])
    assert parser.eof().certain
    return events


WORDS = bytes.fromhex("0100000000000080 0300000000000000")
"""Of 66 pages the first, the 64th and the last two."""


@pytest.mark.parametrize("step", [100_003, 1 << 20, 1 << 24])
@pytest.mark.parametrize("base", [0, 0x2345])
def test_the_pages_that_are_there_are_counted(step: int, base: int) -> None:
    raw = file({"pc.ram": (66 * PAGE, WORDS), "rom": (PAGE, bytes(8))}, base=base)
    events = parsed(raw, step, base)
    mapped = [(event.block, event.pages) for event in events if isinstance(event, MappedBlock)]
    assert mapped == [("pc.ram", 4), ("rom", 0)]
    (listed,) = (event for event in events if isinstance(event, BlockList))
    assert [(block.name, block.used_length) for block in listed.blocks] == [
        ("pc.ram", 66 * PAGE),
        ("rom", PAGE),
    ]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (file({"a": (PAGE, bytes(8))}, version=2), "version 1 and pages of 4096 .* version 2"),
        (file({"a": (PAGE, bytes(8))}, page=8192), "pages of 4096 bytes, .* 8192 bytes"),
        (file({"a": (PAGE, b"\x03" + bytes(7))}), "a bitmap of 1 pages, received one with 2"),
        (file({"a": (PAGE, bytes(8))}, shift=-1), "the bitmap behind the header"),
        (file({"a": (PAGE, bytes(8))}, pages_at=140), "the pages behind the header"),
    ],
)
def test_what_is_no_mapped_ram_is_refused(raw: bytes, sentence: str) -> None:
    with pytest.raises(RemoteProtocolError, match=sentence):
        MainParser(mapped_at=0).feed(raw)


def test_a_stream_that_is_carried_is_no_file() -> None:
    with pytest.raises(RemoteProtocolError, match="a stream, received a mapped-ram file"):
        MainParser().feed(OPENING)


@pytest.mark.parametrize("kept", [200, MIB + 5, -80])
def test_a_file_that_was_cut(kept: int) -> None:
    parser = MainParser(mapped_at=0)
    parser.feed(file({"a": (MIB, bytes(32)), "b": (PAGE, bytes(8))})[:kept])
    with pytest.raises(RemoteProtocolError, match="the rest of the stream"):
        parser.eof()
