"""Records of dirty-bitmap sections: passed over to the byte, and bounded."""

from __future__ import annotations

import struct

import pytest

from ramferry.wire.events import NotParsed, SectionEnd
from wire_streams import begun, counted, feed, footer, marks, part, start

NAMES = counted(b"disk0") + counted(b"bm0")
RECORDS = {
    "start": b"\x1c" + NAMES + struct.pack(">IB", 65536, 1),
    "bits": b"\x40" + struct.pack(">QIQ", 0, 2048, 32) + b"\x01" * 32,
    "bits of names": b"\x4c" + NAMES + struct.pack(">QIQ", 0, 2048, 32) + b"\x01" * 32,
    "zeroes": b"\x42" + struct.pack(">QI", 2048, 2048),
    "complete": b"\x20",
    "complete of a bitmap": b"\x24" + counted(b"bm1"),
}
ID = 3


def with_bitmap(*records: bytes, version: int = 1) -> tuple[bytes, list[tuple[int, int]]]:
    """A stream whose dirty-bitmap section has these records, between two rounds of ram."""
    stream = begun()
    stream.add(start(ID, b"dirty-bitmap", version), b"\x01", footer(ID), part(ID))
    stream.add(*records, b"\x01", footer(ID))
    stream.ram(kind=3)
    return bytes(stream.data), stream.marks


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_passed_over_to_the_byte(name: str) -> None:
    data, expected = with_bitmap(RECORDS[name], RECORDS["complete"])
    for cuts in ([], range(len(data))):
        events, error = feed(data, cuts)
        assert not error
        assert marks(events) == expected
        assert not [event for event in events if isinstance(event, NotParsed)]


def test_empty_parts_are_sections_like_others() -> None:
    data, _ = with_bitmap()
    events, _ = feed(data)
    ends = [event for event in events if isinstance(event, SectionEnd)]
    assert [end.idstr for end in ends] == ["ram", "dirty-bitmap", "dirty-bitmap", "ram"]


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"\x80", "a dirty-bitmap record, received flags 0x80"),
        (b"\x00", "a dirty-bitmap record, received flags 0x00"),
        (b"\x0c" + NAMES, "received flags 0x0c"),
        (b"\x12", "received flags 0x12"),
        (b"\x30", "received flags 0x30"),
        (b"\x21", "received flags 0x21"),
        (b"\x18\x00", "a node name of 1 to 255 bytes, received 0 bytes"),
        (b"\x14\x00", "a bitmap name of 1 to 255 bytes, received 0 bytes"),
        (
            b"\x40" + struct.pack(">QIQ", 0, 2048, 2**63),
            f"at most 1048576 bytes of a dirty bitmap, received {2**63}",
        ),
    ],
)
def test_a_bad_record_is_refused(raw: bytes, sentence: str) -> None:
    data, _ = with_bitmap(raw)
    _, error = feed(data)
    assert error.startswith("main: expected")
    assert sentence in error


def test_the_largest_chunk_is_passed_over() -> None:
    size = 1 << 20
    data, expected = with_bitmap(b"\x40" + struct.pack(">QIQ", 0, 1, size) + bytes(size))
    events, error = feed(data)
    assert not error
    assert marks(events) == expected


def test_another_version_is_copied() -> None:
    data, expected = with_bitmap(b"\xff whatever", version=2)
    events, error = feed(data)
    assert not error
    (copied,) = [event for event in events if isinstance(event, NotParsed)]
    assert copied.why == "version 2 is not 1"
    assert marks(events) == expected
