"""Every format's bytes, literally, both ways; sources are QATzip's hardware header generator and
the RFCs. What libqatzip's software path writes differs in one byte and must be read as well."""

from __future__ import annotations

import pytest

from ramferry.errors import UsageError
from ramferry.qatzip import Session, compress, decompress
from ramferry.qatzip.framing import GZIP_EXT_HEAD, GZIP_EXT_MAGIC
from ramferry.vocabulary import FORMATS

EMPTY = {
    "gzip-ext": "1f8b0804 00000000 00ff 0c00 515a 0800 00000000 02000000 0300 00000000 00000000",
    "gzip": "1f8b0800 00000000 00ff 0300 00000000 00000000",
    "raw": "0300",
    "4B": "02000000 0300",
    "zlib": "789c 0300 00000001",
}
LETTER = {
    "gzip-ext": "1f8b0804 00000000 00ff 0c00 515a 0800 01000000 03000000 730400 8b9ed9d3 01000000",
    "gzip": "1f8b0800 00000000 00ff 730400 8b9ed9d3 01000000",
    "raw": "730400",
    "4B": "03000000 730400",
    "zlib": "789c 730400 00420042",
}
TWO_MEMBERS = {
    "gzip-ext": LETTER["gzip-ext"] + LETTER["gzip-ext"],
    "gzip": LETTER["gzip"] + LETTER["gzip"],
    "4B": LETTER["4B"] + LETTER["4B"],
}
LIBQATZIP_SOFTWARE = {
    "gzip-ext": "1f8b0804 00000000 04ff 0c00 515a 0800 01000000 03000000 730400 8b9ed9d3 01000000",
    "gzip": "1f8b0800 00000000 0403 730400 8b9ed9d3 01000000",
    "raw": "730400",
    "4B": "03000000 730400",
    "zlib": "7801 730400 00420042",
}


def check_bytes(data: bytes, format: str, literal: str, **parameters: int) -> None:
    """Compress to exactly these bytes, and decompress them again."""
    raw = bytes.fromhex(literal)
    assert compress(data, format=format, **parameters).data == raw
    assert decompress(raw, format=format).data == data


@pytest.mark.parametrize("format", FORMATS)
def test_empty_input_is_one_empty_member(format: str) -> None:
    check_bytes(b"", format, EMPTY[format])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("level", [1, 9])
def test_one_letter(format: str, level: int) -> None:
    check_bytes(b"A", format, LETTER[format], level=level)


@pytest.mark.parametrize("format", TWO_MEMBERS)
def test_members_follow_each_other(format: str) -> None:
    check_bytes(b"AA", format, TWO_MEMBERS[format], member_size=1)


@pytest.mark.parametrize("format", FORMATS)
def test_what_libqatzip_writes_in_software_is_read(format: str) -> None:
    raw = bytes.fromhex(LIBQATZIP_SOFTWARE[format])
    assert decompress(raw, format=format).data == b"A"
    out = bytearray(1)
    Session(format=format).decompress_into(memoryview(raw), memoryview(out))
    assert out == b"A"


def test_header_of_a_64_kib_member_as_hardware_writes_it() -> None:
    """From libqatzip's generator: a 64 KiB member with 30,052 bytes of deflate data."""
    literal = bytes.fromhex("1f8b0804 00000000 00ff 0c00 515a 0800 00000100 64750000")
    assert GZIP_EXT_HEAD.pack(GZIP_EXT_MAGIC, 65536, 30052) == literal
    assert GZIP_EXT_HEAD.unpack(literal) == (GZIP_EXT_MAGIC, 65536, 30052)


def test_sizes_in_the_header_are_exact() -> None:
    """Hardware believes them: 100,000 bytes are members of 65,536 and 34,464."""
    raw = compress(bytes(100_000)).data
    at, sizes = 0, []
    while at < len(raw):
        _magic, src, dest = GZIP_EXT_HEAD.unpack_from(raw, at)
        assert int.from_bytes(raw[at + 24 + dest + 4 : at + 24 + dest + 8], "little") == src
        sizes.append(src)
        at += dest + 32
    assert (at, sizes) == (len(raw), [65536, 34464])


@pytest.mark.parametrize("level", [0, 10, -1, 12])
def test_level_outside_the_range(level: int) -> None:
    with pytest.raises(UsageError, match="level must be 1 to 9, not"):
        compress(b"", level)


def test_other_parameters_outside_their_range() -> None:
    with pytest.raises(UsageError, match="one of gzip-ext, gzip, raw, 4B, zlib, not 'lz4'"):
        compress(b"", format="lz4")
    with pytest.raises(UsageError, match="member size must be 1 to 1073741824 bytes, not 0"):
        compress(b"", member_size=0)
    with pytest.raises(UsageError, match="max_size must be 0 or more bytes, not -1"):
        decompress(b"", max_size=-1)
