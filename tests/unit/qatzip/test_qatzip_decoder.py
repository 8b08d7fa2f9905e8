"""The reader: every gzip header there is, hints that lie, a sentence for each damage."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest

from ramferry.errors import CorruptDataError
from ramferry.qatzip import Session, compress, decompress
from ramferry.qatzip.exact import ExactInflater, exact_chain
from ramferry.qatzip.framing import Hint, read_gzip_head
from ramferry.qatzip.inflate import Inflater
from ramferry.qatzip.source import Source
from ramferry.vocabulary import FORMATS

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
TEXT = b"".join(b"page %d of the guest's memory; " % number for number in range(5_000))
DEFLATED = zlib.compress(TEXT, 6, -15)
TRAILER = struct.pack("<II", zlib.crc32(TEXT), len(TEXT))
MEMBER = bytes.fromhex("1f8b0804 00000000 00ff 0c00 515a 0800") + (
    struct.pack("<II", len(TEXT), len(DEFLATED)) + DEFLATED + TRAILER
)


def member(flags: int = 0, fields: bytes = b"") -> bytes:
    """Write TEXT as one gzip member with these optional fields."""
    return bytes([0x1F, 0x8B, 8, flags, 1, 2, 3, 4, 2, 3]) + fields + DEFLATED + TRAILER


def extra(*subfields: bytes) -> bytes:
    """Write an extra field."""
    whole = b"".join(subfields)
    return struct.pack("<H", len(whole)) + whole


def qz(src: int, dest: int) -> bytes:
    """Write a QZ subfield."""
    return b"QZ\x08\x00" + struct.pack("<II", src, dest)


def with_header_crc(flags: int, fields: bytes) -> bytes:
    """Write TEXT as one gzip member whose header ends with its CRC-16."""
    raw = member(flags | 2, fields)
    size = 10 + len(fields)
    return raw[:size] + struct.pack("<H", zlib.crc32(raw[:size]) & 0xFFFF) + raw[size:]


TRUE = qz(len(TEXT), len(DEFLATED))
BEFORE = b"BC\x02\x00\xff\xff"
READABLE = {
    "plain": member(),
    "text flag": member(1),
    "name": member(8, b"pages.bin\0"),
    "comment": member(16, b"of a guest\0"),
    "name and comment": member(24, b"pages.bin\0of a guest\0"),
    "header CRC": with_header_crc(0, b""),
    "everything": with_header_crc(28, extra(BEFORE, TRUE) + b"name\0comment\0"),
    "empty extra field": member(4, extra()),
    "other subfield only": member(4, extra(BEFORE)),
    "subfield before QZ": member(4, extra(BEFORE, TRUE)),
    "subfield after QZ": member(4, extra(TRUE, BEFORE)),
    "empty subfield before QZ": member(4, extra(b"ab\0\0", TRUE)),
    "QZ longer than its sizes": member(4, extra(b"QZ\x0a\x00" + TRUE[4:] + b"??")),
    "QZ too short": member(4, extra(b"QZ\x04\x00????")),
    "extra field of 65,535 bytes": member(4, extra(b"ab\xfb\xff" + bytes(65531))),
    "extra field of no subfields": member(4, extra(b"a")),
    "extra field of a Helm chart": member(
        0x14, extra(b"+aHR0cHM6Ly9leGFtcGxlLmNvbS9jaGFydHMuLi4K") + b"Helm\0"
    ),
    "zero sizes": member(4, extra(qz(0, 0))),
    "sizes too small": member(4, extra(qz(1, 1))),
    "sizes too large": member(4, extra(qz(2**32 - 1, 2**32 - 1))),
    "src false": member(4, extra(qz(len(TEXT) - 1, len(DEFLATED)))),
    "dest false": member(4, extra(qz(len(TEXT), len(DEFLATED) + 8))),
}


@pytest.mark.parametrize("raw", READABLE.values(), ids=READABLE.keys())
@pytest.mark.parametrize("format", ["gzip-ext", "gzip"])
def test_gzip_members_of_every_kind(raw: bytes, format: str) -> None:
    assert gzip.decompress(raw) == TEXT, "the test's own data is wrong"
    for count in (1, 3):
        assert decompress(raw * count, format=format).data == TEXT * count
        out = bytearray(len(TEXT) * count)
        Session(format=format).decompress_into(memoryview(raw * count), memoryview(out))
        assert out == TEXT * count


@pytest.mark.parametrize("size", [1, 2, 3, 511, 10240, 300_000])
@pytest.mark.parametrize("format", ["gzip-ext", "gzip"])
def test_zeros_behind_the_last_member_are_a_tapes(format: str, size: int) -> None:
    """In data that was a file; a migration's packet is on no tape."""
    raw = MEMBER * 2 + bytes(size)
    assert decompress(raw, format=format).data == TEXT * 2
    with pytest.raises(CorruptDataError, match="trailing bytes that begin 00"):
        Session(format=format).decompress_into(
            memoryview(raw), memoryview(bytearray(2 * len(TEXT)))
        )
    with pytest.raises(CorruptDataError, match="trailing bytes that begin 00"):
        decompress(MEMBER + bytes(size) + MEMBER, format=format)
    with pytest.raises(CorruptDataError, match="a gzip header"):
        decompress(bytes(size), format=format)


def test_members_of_different_kinds_and_empty_ones_mix() -> None:
    empty = compress(b"").data
    raw = empty + MEMBER + member(8, b"x\0") + empty + MEMBER + empty
    assert decompress(raw).data == TEXT * 3
    out = bytearray(len(TEXT) * 3)
    Session().decompress_into(memoryview(raw), memoryview(out))
    assert out == TEXT * 3


def test_the_golden_packet_of_a_real_qemu() -> None:
    """One member of 438,272 bytes, as libqatzip's software path writes a packet."""
    payload = memoryview((GOLDEN / "qatzip-0.packet").read_bytes())[1344:]
    pages = (GOLDEN / "qatzip-0.pages").read_bytes()
    assert exact_chain(payload, len(pages))
    assert decompress(payload).data == pages
    out = bytearray(len(pages))
    Session().decompress_into(payload, memoryview(out))
    assert out == pages


@pytest.mark.parametrize("format", FORMATS)
def test_no_member_at_all(format: str) -> None:
    if format in ("raw", "zlib"):
        with pytest.raises(CorruptDataError, match="received the end of the data after 0 bytes"):
            decompress(b"", format=format)
    else:
        assert decompress(b"", format=format).data == b""


def changed(raw: bytes, at: int, byte: int | None = None) -> bytes:
    """Return ``raw`` with one byte flipped, or set."""
    copy = bytearray(raw)
    copy[at] = copy[at] ^ 0xFF if byte is None else byte
    return bytes(copy)


IN_1 = "in member 1, which begins at byte 0"
IN_2 = f"in member 2, which begins at byte {len(MEMBER)}"
CUT = len(MEMBER) * 2 - 3
DAMAGED = {
    "no gzip": ("gzip", b"PK\3\4", f"a gzip header (1f 8b 08) {IN_1}", "50 4b 03"),
    "other method": ("gzip", changed(MEMBER, 2), f"a gzip header (1f 8b 08) {IN_1}", "1f 8b f7"),
    "reserved flag": ("gzip", changed(MEMBER, 3, 0x24), f"gzip flags below 20 {IN_1}", "24"),
    "CRC": (
        "gzip",
        MEMBER + changed(MEMBER, -8, 0),
        f"CRC {zlib.crc32(TEXT) & 0xFFFFFF00:08x} {IN_2}",
        f"data whose CRC is {zlib.crc32(TEXT):08x}",
    ),
    "length": (
        "gzip",
        changed(MEMBER, -4, 0),
        f"{len(TEXT) & ~0xFF} bytes to come out {IN_1}",
        f"{len(TEXT)}",
    ),
    "header CRC": (
        "gzip",
        changed(with_header_crc(0, b""), 10, 0),
        f"header CRC {with_header_crc(0, b'')[11]:02x}00 {IN_1}",
        with_header_crc(0, b"")[11:9:-1].hex(),
    ),
    "subfield beyond the extra field": (
        "gzip",
        member(4, extra(b"QZ\xff\x00")),
        f"subfields that fill the extra field of 4 bytes {IN_1}",
        "259 bytes of them",
    ),
    "QZ beyond the extra field": (
        "gzip",
        MEMBER + member(4, extra(TRUE[:-1])),
        f"subfields that fill the extra field of 11 bytes {IN_2}",
        "12 bytes of them",
    ),
    "bytes after the subfields": (
        "gzip",
        member(4, extra(TRUE, b"ab\0")),
        f"subfields that fill the extra field of 15 bytes {IN_1}",
        "3 bytes left over",
    ),
    "QZ, and one that is cut": (
        "gzip",
        member(4, extra(b"QZ\x04\x00????", b"ab\x09\x00")),
        f"subfields that fill the extra field of 12 bytes {IN_1}",
        "21 bytes of them",
    ),
    "deflate data": ("gzip", changed(MEMBER, 24), f"deflate data {IN_1}", "an invalid"),
    "cut in the header": (
        "gzip",
        MEMBER + MEMBER[:5],
        f"a gzip header {IN_2}",
        f"the end of the data after {len(MEMBER) + 5} bytes",
    ),
    "cut in the deflate data": (
        "gzip",
        MEMBER[:100],
        f"the rest of the deflate data {IN_1}",
        "the end of the data after 100 bytes",
    ),
    "cut in the trailer": (
        "gzip",
        (MEMBER * 2)[:CUT],
        f"CRC and length {IN_2}",
        f"the end of the data after {CUT} bytes",
    ),
    "cut in the name": (
        "gzip",
        member(8, b"name\0")[:13],
        f"a gzip header {IN_1}",
        "the end of the data after 13 bytes",
    ),
    "endless name": (
        "gzip",
        member(8, b"n" * 70_000 + b"\0"),
        f"a file name of at most 65536 bytes {IN_1}",
        "a longer one",
    ),
    "trailing bytes": (
        "gzip",
        MEMBER + b"junk!",
        f"the end of the data after member 1, at byte {len(MEMBER)}",
        "trailing bytes that begin 6a 75 6e 6b",
    ),
    "zeros and more": (
        "gzip",
        MEMBER + bytes(600) + b"x",
        f"the end of the data after member 1, at byte {len(MEMBER)}",
        "trailing bytes that begin 00 00 00 00",
    ),
    "zlib and a zero": (
        "zlib",
        zlib.compress(TEXT) + b"\0",
        "the end of the data after member 1, at byte",
        "trailing bytes that begin 00",
    ),
    "raw cut": (
        "raw",
        DEFLATED[:-1],
        f"the rest of the deflate data {IN_1}",
        "the end of the data",
    ),
    "raw trailing": (
        "raw",
        DEFLATED + b"\x1f",
        f"the end of the data after member 1, at byte {len(DEFLATED)}",
        "trailing bytes that begin 1f",
    ),
    "no zlib": ("zlib", b"\x78\x9d", f"a zlib header {IN_1}", "78 9d"),
    "zlib dictionary": (
        "zlib",
        b"\x78\xbb",
        "a zlib stream without a preset dictionary",
        "one that",
    ),
    "zlib Adler-32": (
        "zlib",
        changed(zlib.compress(b"A"), -1, 0x41),
        f"Adler-32 00420041 {IN_1}",
        "data whose Adler-32 is 00420042",
    ),
    "4B shorter than a length": ("4B", b"\3\0\0", f"a 4B header {IN_1}", "the end of the data"),
    "4B of zero bytes": ("4B", bytes(4), f"the length of a 4B block {IN_1}", "0"),
    "4B too long": (
        "4B",
        bytes.fromhex("04000000 730400 00"),
        f"a 4B block of 4 bytes {IN_1}",
        "one of 3 bytes",
    ),
    "4B too short": (
        "4B",
        bytes.fromhex("02000000 730400"),
        f"the end of the deflate data within its 4B block {IN_1}",
        "more",
    ),
    "4B cut": ("4B", bytes.fromhex("03000000 7304"), "the rest of the deflate data", "the end of"),
    "4B that promises 4 GiB": (
        "4B",
        b"\xff" * 4 + b"\x73\4\0",
        "a 4B block of 4294967295",
        "one of",
    ),
}


@pytest.mark.parametrize(("format", "raw", "expected", "received"), DAMAGED.values(), ids=DAMAGED)
def test_each_damage_has_its_sentence(
    format: str, raw: bytes, expected: str, received: str
) -> None:
    with pytest.raises(CorruptDataError) as caught:
        decompress(raw, format=format)
    assert caught.value.expected.startswith(expected)
    assert caught.value.received.startswith(received)
    with pytest.raises(CorruptDataError):
        Session(format=format).decompress_into(memoryview(raw), memoryview(bytearray(len(TEXT))))


@pytest.mark.parametrize("size", [0, 1, len(TEXT) - 1, len(TEXT) + 1, 2 * len(TEXT)])
@pytest.mark.parametrize("raw", [MEMBER, member(), compress(TEXT).data], ids=["QZ", "gzip", "ours"])
def test_a_buffer_of_another_size_is_not_filled_exactly(raw: bytes, size: int) -> None:
    with pytest.raises(CorruptDataError) as caught:
        Session().decompress_into(memoryview(raw), memoryview(bytearray(size)))
    if size > len(TEXT):
        assert str(caught.value) == f"expected {size} bytes to come out, received {len(TEXT)}"
    else:
        assert str(caught.value).startswith(f"expected at most {size} bytes to come out in member")


def test_nothing_inflates_into_nothing() -> None:
    for raw in (b"", compress(b"").data):
        Session().decompress_into(memoryview(raw), memoryview(bytearray()))


def test_zero_bytes_between_members_are_not_hidden_by_false_sizes() -> None:
    """ISA-L's gzip reader skips them; a header that counts them in must not let them pass."""
    padded = MEMBER[:20] + struct.pack("<I", len(DEFLATED) + 1) + MEMBER[24:] + b"\0"
    for raw in (MEMBER + b"\0", padded, padded + MEMBER, MEMBER + padded, MEMBER + b"\0" + MEMBER):
        with pytest.raises(CorruptDataError, match="trailing bytes that begin 00"):
            Session().decompress_into(
                memoryview(raw), memoryview(bytearray(len(TEXT) * raw.count(MEMBER[:16])))
            )


def test_zero_bytes_are_not_hidden_by_sizes_that_agree_with_them() -> None:
    """A zero behind a member makes its length look 256 times smaller; both sizes lie likewise."""
    src = len(TEXT) >> 8
    lying = MEMBER[:16] + struct.pack("<II", src, len(DEFLATED) + 1) + MEMBER[24:] + b"\0"
    assert lying[-4:] == struct.pack("<I", src)
    for size in (src, len(TEXT)):
        with pytest.raises(CorruptDataError):
            Session().decompress_into(memoryview(lying), memoryview(bytearray(size)))


def test_the_fast_lane_is_taken_for_what_we_and_libqatzip_write() -> None:
    """Otherwise the lane would be dead code that every other test passes without."""
    out = memoryview(bytearray(len(TEXT)))
    for raw in (MEMBER, compress(TEXT).data, changed(MEMBER, 8, 4), changed(MEMBER, 8, 2)):
        out[:] = bytes(len(TEXT))
        assert ExactInflater().inflate(memoryview(raw), out)
        assert out == TEXT


@pytest.mark.parametrize(
    "raw",
    [
        *(changed(MEMBER, at) for at in (*range(8), *range(9, 24), -1, -2, -3, -4)),
        MEMBER[:-1],
        MEMBER[:40],
        MEMBER + b"\0",
        member(),
    ],
)
def test_the_fast_lane_is_left_where_sizes_are_not_exact(raw: bytes) -> None:
    assert not exact_chain(memoryview(raw), len(TEXT))


@pytest.mark.parametrize("limit", [0, 1, 4095, 4096])
def test_output_is_capped(limit: int) -> None:
    for format in FORMATS:
        raw = compress(TEXT[:4096], format=format).data
        if limit == 4096:
            assert len(decompress(raw, format=format, max_size=limit).data) == limit
        else:
            with pytest.raises(
                CorruptDataError, match=f"at most {limit} bytes to come out .* more"
            ):
                decompress(raw, format=format, max_size=limit)


@pytest.mark.parametrize("claim", [0, 2**32 - 1])
def test_a_bomb_ends_before_its_memory_is_spent(claim: int) -> None:
    """64 MiB from 64 KiB, whatever the header claims: less than 4 MiB are ever allocated."""
    size = 64 << 20
    bomb = bytearray(compress(bytes(size), member_size=size).data)
    assert len(bomb) < size // 900
    bomb[16:20] = struct.pack("<I", claim)
    tracemalloc.start()
    try:
        with pytest.raises(CorruptDataError, match="at most 1048576 bytes to come out"):
            decompress(bomb, max_size=1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_memory_follows_the_cap_where_no_size_is_known() -> None:
    raw = compress(bytes(65536), format="gzip").data
    tracemalloc.start()
    try:
        with pytest.raises(CorruptDataError, match="at most 1000 bytes to come out"):
            decompress(raw, max_size=1000)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_sizes_that_claim_too_little_cost_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A member that claims 1 byte of each is not inflated byte by byte."""
    calls = []
    original = Inflater._inflate

    def counted(self: Inflater, *arguments: Any) -> bytes:
        calls.append(arguments)
        return original(self, *arguments)

    monkeypatch.setattr(Inflater, "_inflate", counted)
    assert decompress(READABLE["sizes too small"]).data == TEXT
    assert len(calls) <= 4


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("subfield before QZ", (len(TEXT), len(DEFLATED))),
        ("empty subfield before QZ", (len(TEXT), len(DEFLATED))),
        ("QZ longer than its sizes", (len(TEXT), len(DEFLATED))),
        ("sizes too large", (2**32 - 1, 2**32 - 1)),
        ("QZ too short", (0, 0)),
        ("other subfield only", (0, 0)),
        ("plain", (0, 0)),
    ],
)
def test_sizes_are_found_among_the_subfields(name: str, hint: tuple[int, int]) -> None:
    assert read_gzip_head(Source(memoryview(READABLE[name]))) == Hint(*hint)


def test_many_tiny_members_cost_no_quadratic_copies() -> None:
    """30,000 members in a 1 MiB payload: what follows a member is never copied as a whole."""
    raw = bytes(compress(b"A").data) * 30_000
    false = raw.replace(b"QZ", b"ZQ")
    out = bytearray(30_000)
    Session().decompress_into(memoryview(false), memoryview(out))
    assert out == b"A" * 30_000
