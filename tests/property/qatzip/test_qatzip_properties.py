"""Two invariants. Any data in any format at any level comes back. And **damage is found or does no
harm**: whatever bytes a reader is given, it returns or raises ``CorruptDataError``; where a
checksum covers the data, one changed byte gives ``CorruptDataError`` or the same data, the latter
only in fields that are hints (time, flags of text, xfl, os, what the extra field's subfield is
called and holds) and in deflate's padding bits; and every truncation is found that does not fall
between two members."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ramferry.errors import CorruptDataError
from ramferry.qatzip import Session, compress, decompress, stream
from ramferry.qatzip.exact import ExactInflater
from ramferry.vocabulary import FORMATS

HINTS = {4, 5, 6, 7, 8, 9, 12, 13, *range(16, 24)}
"""Bytes of a gzip-ext header that a damage may change without harm; XLEN (10, 11) and the
subfield's length (14, 15) are none, but for a bit."""
EQUAL = b"\0\0\0\0\x01\0\0\x01" * 876
"""Members of 1000 of its bytes are equal, but for the last: one can be lost with no CRC wrong."""
TEXT_FLAG = 1
QZ_LENGTH = 8
"""The bit of the subfield's length without which the sizes, if small, are two empty subfields."""

formats = st.sampled_from(FORMATS)
gzips = st.sampled_from(["gzip-ext", "gzip"])
levels = st.integers(1, 9)
member_sizes = st.one_of(st.integers(1, 200), st.integers(4000, 70_000))


@st.composite
def inputs(draw: st.DrawFn) -> bytes:
    """Draw runs, repeats and noise, short and long."""
    piece = st.one_of(
        st.binary(max_size=100),
        st.builds(
            lambda byte, count: byte * count,
            st.binary(min_size=1, max_size=9),
            st.integers(0, 2000),
        ),
        st.builds(
            lambda seed: struct.pack("<Q", seed * 0x9E3779B97F4A7C15 % 2**64) * 20,
            st.integers(0, 2**32),
        ),
    )
    return b"".join(draw(st.lists(piece, max_size=12)))


def inflate(raw: bytes, size: int, format: str = "gzip-ext") -> bytes | None:
    """Inflate into a buffer of ``size`` bytes; None where the damage was found."""
    out = bytearray(size)
    try:
        Session(format=format).decompress_into(memoryview(raw), memoryview(out))
    except CorruptDataError:
        return None
    return bytes(out)


def read(raw: bytes, format: str = "gzip-ext") -> bytes | None:
    """Decompress; None where the damage was found."""
    try:
        return bytes(decompress(raw, format=format, max_size=1 << 22).data)
    except CorruptDataError:
        return None


@given(inputs(), formats, levels, member_sizes)
@example(b"", "gzip-ext", 1, 1)
@example(b"A" * 70_000, "4B", 9, 65536)
def test_data_comes_back(data: bytes, format: str, level: int, member_size: int) -> None:
    session = Session(level, format=format, member_size=member_size)
    raw = session.compress(data).data
    assert read(b"".join(session.compress_parts(memoryview(data))), format) == data
    assert session.decompress(raw).data == data
    assert inflate(bytes(raw), len(data), format) == data
    packed, unpacked = io.BytesIO(), io.BytesIO()
    stream.compress(io.BytesIO(data), packed, level, format=format, member_size=member_size)
    packed.seek(0)
    stream.decompress(packed, unpacked, format=format)
    assert unpacked.getvalue() == data


@given(st.binary(max_size=300), formats, st.integers(0, 300))
@example(bytes.fromhex("1f8b0804000000000000"), "gzip", 1)
def test_any_bytes_give_data_or_an_error(raw: bytes, format: str, size: int) -> None:
    read(raw, format)
    inflate(raw, size, format)


@given(inputs(), st.integers(1, 255), st.data())
def test_one_changed_byte_is_found_or_does_no_harm(
    data: bytes, change: int, draw: st.DataObject
) -> None:
    raw = bytearray(compress(data, member_size=1000).data)
    at = draw.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= change
    assert read(bytes(raw)) in (None, data)
    assert inflate(bytes(raw), len(data)) in (None, data)


@given(st.integers(0, 6), st.integers(0, 30), st.integers(1, 255))
@example(1, 10, 50)
def test_a_changed_header_of_equal_members_loses_none(nth: int, at: int, change: int) -> None:
    """XLEN 62 in place of 12 makes the second member's extra field end where its deflate ends."""
    raw = bytearray(compress(EQUAL, member_size=1000).data)
    second = raw.index(raw[:16], 1)
    raw[nth * second + at] ^= change
    assert read(bytes(raw)) in (None, EQUAL)
    assert inflate(bytes(raw), len(EQUAL)) in (None, EQUAL)


@pytest.mark.parametrize("format", ["gzip-ext", "gzip", "zlib"])
@pytest.mark.parametrize("level", [1, 6])
def test_every_changed_byte_outside_the_hints_is_found(format: str, level: int) -> None:
    """Each bit and all bits of each byte, in three members of 100, 100 and 50 bytes.

    None of them is a stored block, whose header has padding bits of its own.
    """
    data = b"".join(b"page %d of the guest's " % page for page in range(97, 117))[:250]
    raw = bytes(compress(data, level, format=format, member_size=100).data)
    harmless = {
        (at, change)
        for at in range(len(raw))
        for change in (1, 2, 4, 8, 16, 32, 64, 128, 255)
        if _harmless(raw, data, format, at, change)
    }
    allowed = _harmless_places(raw, format)
    assert {at for at, _ in harmless} <= allowed.keys()
    assert all(change & ~allowed[at] == 0 for at, change in harmless)
    assert format == "zlib" or (4, 255) in harmless, "the time is a hint, and was checked"


def _harmless(raw: bytes, data: bytes, format: str, at: int, change: int) -> bool:
    """Whether the change passes; fails where it passes with other data."""
    damaged = raw[:at] + bytes([raw[at] ^ change]) + raw[at + 1 :]
    results = {read(damaged, format), inflate(damaged, len(data), format)}
    assert results in ({None}, {data})
    return results == {data}


def _harmless_places(raw: bytes, format: str) -> dict[int, int]:
    """Map each byte that may change without harm to the bits of it that may."""
    head, tail = {"gzip-ext": (24, 8), "gzip": (10, 8), "zlib": (2, 4)}[format]
    places: dict[int, int] = {}
    starts = [0]
    if format != "zlib":
        starts = [at for at in range(len(raw)) if raw[at : at + 10] == raw[:10]]
    for start, end in zip(starts, [*starts[1:], len(raw)], strict=True):
        if format != "zlib":
            places[start + 3] = TEXT_FLAG
            places |= dict.fromkeys((start + at for at in HINTS if at < head), 0xFF)
            places |= {start + 14: QZ_LENGTH} if format == "gzip-ext" else {}
        places[end - tail - 1] = 0xFE  # the padding behind deflate's last bit
    return places


@given(inputs(), formats, member_sizes, st.data())
def test_every_truncation_is_found(
    data: bytes, format: str, member_size: int, draw: st.DataObject
) -> None:
    session = Session(4, format=format, member_size=member_size)
    raw = bytes(session.compress(data).data)
    cut = draw.draw(st.integers(0, len(raw) - 1))
    if data:
        assert inflate(raw[:cut], len(data), format) is None
    between = [0]  # where members begin: at level 4 a member is the same bytes alone
    for start in range(0, len(data), member_size):
        member = session.compress(data[start : start + member_size])
        between.append(between[-1] + len(member.data))
    if cut in between and format not in ("raw", "zlib"):
        assert read(raw[:cut], format) == data[: between.index(cut) * member_size]
    else:
        assert read(raw[:cut], format) is None


@given(
    st.lists(inputs(), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)), min_size=4),
)
def test_sizes_that_lie_do_no_harm(pieces: list[bytes], lies: list[tuple[int, int]]) -> None:
    raw = b""
    for piece, (src, dest) in zip(pieces, lies, strict=False):
        member = bytearray(compress(piece, member_size=1 << 20).data)
        struct.pack_into("<II", member, 16, src, dest)
        raw += member
    data = b"".join(pieces)
    assert read(raw) == data
    assert inflate(raw, len(data)) == data


@given(inputs(), st.binary(max_size=40), st.data())
def test_what_the_fast_lane_accepts_the_strict_reader_accepts(
    data: bytes, junk: bytes, draw: st.DataObject
) -> None:
    raw = bytearray(compress(data, member_size=500).data)
    for _ in range(draw.draw(st.integers(0, 2))):
        at = draw.draw(st.integers(0, len(raw)))
        raw[at : at + draw.draw(st.integers(0, 3))] = junk[: draw.draw(st.integers(0, 3))]
    out = bytearray(len(data))
    if ExactInflater().inflate(memoryview(raw), memoryview(out)):
        assert read(bytes(raw)) == out
