"""Source: one window on data in memory or in a file, however the file gives it."""

from __future__ import annotations

import io

import pytest

from ramferry.errors import CorruptDataError
from ramferry.qatzip.source import CHUNK, Source

DATA = bytes(range(256)) * 5000


def drip(size: int) -> Source:
    """A source over a file that gives at most ``size`` bytes at once."""
    file = io.BytesIO(DATA)
    return Source(read=lambda asked: file.read(min(asked, size)))


@pytest.mark.parametrize(
    "source", [Source(memoryview(DATA)), drip(1000), drip(CHUNK), drip(len(DATA))]
)
def test_consume_and_give_back(source: Source) -> None:
    at = 0
    for size in (0, 1, 10, 70_000, CHUNK, CHUNK + 1, 5):
        window = source.peek(size)
        assert len(window) >= size
        assert window[:size] == DATA[at : at + size]
        source.skip(size)
        at += size
        back = min(size // 2, 300)
        source.give_back(DATA[at - back : at])
        at -= back
        assert source.offset == at
        assert source.peek(20)[:20] == DATA[at : at + 20]
    assert source.peek(len(DATA)) == DATA[at:]


def test_bytes_of_an_earlier_chunk_can_be_given_back() -> None:
    """The inflater holds up to eight bytes over from one feed to the next."""
    source = drip(100)
    source.peek(100)
    source.skip(100)
    source.peek(10)
    source.skip(3)
    source.give_back(DATA[95:103])
    assert source.offset == 95
    assert source.peek(300)[:200] == DATA[95:295]


def test_memory_is_never_copied() -> None:
    data = bytearray(DATA)
    source = Source(memoryview(data))
    source.skip(7)
    data[7] = 99
    assert source.peek(1)[0] == 99


@pytest.mark.parametrize("in_memory", [True, False])
def test_what_is_missing_is_named(in_memory: bool) -> None:
    file = io.BytesIO(b"12345")
    source = Source(memoryview(b"12345")) if in_memory else Source(read=file.read)
    source.need(2, "two bytes")
    source.skip(2)
    source.begin_member()
    with pytest.raises(CorruptDataError) as caught:
        source.need(4, "a header")
    assert caught.value.expected == "a header in member 1, which begins at byte 2"
    assert caught.value.received == "the end of the data after 5 bytes"
