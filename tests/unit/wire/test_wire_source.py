"""Bytes taken, skipped and kept across the pieces they come in."""

from __future__ import annotations

from typing import TypeVar

import pytest

from ramferry.errors import RemoteProtocolError
from ramferry.wire.source import ByteSource, Parse

T = TypeVar("T")


def run(source: ByteSource, parse: Parse[T], *pieces: bytes) -> T:
    """What ``parse`` returns in the last of the pieces, and in none before."""
    for index, piece in enumerate(pieces):
        source.push(memoryview(piece))
        try:
            next(parse)
        except StopIteration as end:
            assert index == len(pieces) - 1
            value: T = end.value
            return value
        source.release()
    raise AssertionError("the parser wants more")


@pytest.mark.parametrize("pieces", [(b"abcdef",), (b"abc", b"def"), (b"a", b"", b"bcd", b"ef")])
def test_take_reads_across_pieces_and_no_further(pieces: tuple[bytes, ...]) -> None:
    source = ByteSource("main")
    assert run(source, source.take(5), *pieces) == b"abcde"
    assert (source.offset, source.end, source.available) == (5, 6, 1)


@pytest.mark.parametrize("pieces", [(b"\x01\x02\x03\x04",), (b"\x01", b"\x02", b"\x03\x04")])
def test_numbers_are_big_endian(pieces: tuple[bytes, ...]) -> None:
    source = ByteSource("main")
    assert run(source, source.uint(4), *pieces) == 0x01020304


def test_skip_stores_nothing_and_stops_in_place() -> None:
    source = ByteSource("main")
    run(source, source.skip(2_000_001), b"x" * 1_000_000, b"x" * 1_000_000, b"xyz")
    assert bytes(source.view[source.pos :]) == b"yz"
    assert source.offset == 2_000_001


def test_what_is_kept_comes_again_in_front_of_the_next_bytes() -> None:
    source = ByteSource("main")
    source.push(memoryview(b"abcd"))
    source.pos = 3
    source.keep()
    source.release()
    source.push(memoryview(b"ef"))
    assert (bytes(source.view), source.offset, source.end) == (b"def", 3, 6)


@pytest.mark.parametrize("raw", [b"\x00", b"\x05abcde"])
def test_a_name_is_neither_empty_nor_too_long(raw: bytes) -> None:
    source = ByteSource("main")
    source.push(memoryview(raw))
    with pytest.raises(RemoteProtocolError, match=r"^main: expected a name of 1 to 4 bytes, rec"):
        next(source.text("name", longest=4))


def test_a_name_that_is_not_utf8_stays_readable() -> None:
    source = ByteSource("main")
    assert run(source, source.text("name"), b"\x03pc\xff") == r"pc\xff"


def test_failing_names_channel_and_place() -> None:
    source = ByteSource("return path")
    run(source, source.skip(7), b"1234567")
    with pytest.raises(RemoteProtocolError) as raised:
        source.fail("a thing", "another")
    assert str(raised.value) == ("return path: expected a thing, received another (up to byte 7)")
