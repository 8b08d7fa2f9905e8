"""Bodies that cannot be read: copied up to their footer, with no mark behind them lost."""

from __future__ import annotations

import struct

import pytest

from ramferry.wire.copying import _LONGEST_MATCH
from ramferry.wire.events import Closed, EndOfStream, NotParsed, Resynchronised, SectionStart
from ramferry.wire.main import MainParser
from wire_streams import (
    CONFIGURATION,
    EOS,
    HEADER,
    RAM_ID,
    Stream,
    begun,
    command,
    counted,
    feed,
    footer,
    marks,
    part,
    pieces,
    record,
    start,
    vmdesc,
)

VFIO = 0x2F
BODIES = {
    "empty": b"",
    "text": b"some state of a device",
    "zeros": bytes(5000),
    "its footer": footer(VFIO) + b"and more",
    "half its footer": footer(VFIO)[:4] + footer(VFIO)[:3],
    "its footer twice": footer(VFIO) * 2 + b"\x02",
    "its footer and an unknown id": footer(VFIO) + part(0x1234),
    "its footer and an unknown command": footer(VFIO) + command(99),
    "its footer and a command of another length": footer(VFIO) + b"\x08\x00\x01\x00\x02",
    "its footer and an id that was started": footer(VFIO) + start(RAM_ID, b"name", 1),
    "its footer and a name of no letters": footer(VFIO) + start(9, b"n\x01me", 1),
    "its footer and no name": footer(VFIO) + start(9, b"", 1),
    "its footer and a version over the bound": footer(VFIO) + start(9, b"name", 0x10000),
    "its footer and a far larger version": footer(VFIO) + start(9, b"name", 0x01000001),
    "its footer and an id like one that was started": footer(VFIO) + part(0x01000000 + RAM_ID),
    "its footer and a name with DEL": footer(VFIO) + start(9, b"na\x7fme", 1),
    "its footer and a name with a unit separator": footer(VFIO) + start(9, b"na\x1fme", 1),
    "another section": footer(RAM_ID) + part(RAM_ID),
    "marks": record(0, EOS) * 10,
}


def stream_with(body: bytes, *, rounds: bool) -> Stream:
    """A section with an unreadable body, twice, and ram's sections before, between and behind."""
    stream = begun(rounds=rounds)
    stream.add(start(VFIO, b"0000:00:01.0/vfio", 1), body, footer(VFIO))
    stream.ram()
    stream.add(part(VFIO), body, footer(VFIO))
    stream.ram(kind=3)
    return stream


@pytest.mark.parametrize("rounds", [False, True], ids=["section", "round"])
@pytest.mark.parametrize("name", BODIES)
def test_no_mark_behind_a_copied_body_is_lost(name: str, rounds: bool) -> None:
    body = BODIES[name]
    stream = stream_with(body, rounds=rounds)
    data = bytes(stream.data)
    whole, error = feed(data)
    assert not error
    assert marks(whole) == stream.marks
    first = data.index(b"vfio") + len(b"vfio") + 8
    (lost,) = [event for event in whole if isinstance(event, NotParsed)]
    assert (lost.start, lost.idstr, lost.section_id) == (first, "0000:00:01.0/vfio", VFIO)
    back = [event for event in whole if isinstance(event, Resynchronised)]
    assert [event.end - event.start for event in back] == [len(body)] * 2
    for cuts in (range(len(data)), range(0, len(data), 7), range(first, len(data), 300)):
        assert feed(data, cuts) == (whole, "")


FOLLOWERS = {
    "START of ram": start(RAM_ID, b"ram", 4),
    "START of another": start(9, b"dirty-bitmap", 1),
    "FULL": start(9, b"0000:00:02.0/virtio-mem-device-early", 1, kind=4),
    "FULL of a long name": start(9, b"n" * 255, 1, kind=4),
    "FULL of the first and last letters": start(9, b" ~", 1, kind=4),
    "FULL of the largest version": start(9, b"n", 0xFFFF, kind=4),
    "FULL whose id is large": start(0x01000000 + VFIO, b"n", 1, kind=4),
    "command": command(11),
    "its own PART": part(VFIO),
    "its own END": part(VFIO, kind=3),
}


@pytest.mark.parametrize("name", FOLLOWERS)
def test_what_may_follow_a_footer_ends_a_body_before_ram(name: str) -> None:
    """Early device state stands in front of ram's START on some versions."""
    head = HEADER + CONFIGURATION + start(VFIO, b"vfio", 1)
    data = head + b"body" + footer(VFIO) + FOLLOWERS[name]
    parser = MainParser()
    events = [event for byte in data for event in parser.feed(bytes([byte]))]
    (back,) = [event for event in events if isinstance(event, Resynchronised)]
    assert (back.start, back.end) == (len(head), len(head) + 4)
    assert events[-1].end == len(data)


def test_a_copied_body_is_told_once_for_each_section_type() -> None:
    stream = begun()
    for section_id in (10, 11):
        stream.add(start(section_id, b"vfio", 1), b"body", footer(section_id))
        stream.add(part(section_id), b"body", footer(section_id))
    stream.ram(kind=3)
    events, _ = feed(bytes(stream.data))
    assert len([event for event in events if isinstance(event, NotParsed)]) == 1
    assert len([event for event in events if isinstance(event, Resynchronised)]) == 4
    assert len([event for event in events if isinstance(event, SectionStart)]) == 6


def test_the_stream_may_end_in_a_copied_body() -> None:
    parser = MainParser()
    parser.feed(bytes(begun().data) + start(VFIO, b"vfio", 1) + b"body")
    end = parser.position
    assert parser.eof() == Closed(end, end, certain=False)


@pytest.mark.parametrize(
    "raw", [footer(VFIO) * 3000, footer(VFIO) + start(9, b"n" * 255, 1)[:-1], b"\x7e" * 9000]
)
def test_what_is_set_aside_is_bounded(raw: bytes) -> None:
    parser = MainParser()
    parser.feed(bytes(begun().data) + start(VFIO, b"vfio", 1))
    for at in range(0, len(raw), 11):
        parser.feed(raw[at : at + 11])
        assert len(parser._source._kept) < _LONGEST_MATCH


def tail(*pieces: bytes) -> bytes:
    """A stream up to ram's END, and then these."""
    stream = begun()
    stream.ram(kind=3)
    return bytes(stream.data) + b"".join(pieces)


STATE = start(9, b"timer", 2, kind=4) + bytes(24) + footer(9)
TAILS = {
    "device state": (STATE,),
    "nothing": (),
    "a header of JSON in the state": (b'\x00\x06\x00\x00\x00\x20{"but no text \x01', STATE),
    "JSON that ends otherwise": (b'\x00\x06\x00\x00\x00\x08{"abcdef', STATE),
    "two headers": (b"\x00\x06" * 3,),
    "an EOF byte before": (b"\x00" * 7,),
}


@pytest.mark.parametrize("name", TAILS)
def test_the_end_of_the_stream_is_found(name: str) -> None:
    head = tail(*TAILS[name])
    data = head + vmdesc(b'{"page_size": 4096, "devices": [{"name": "timer"}]}')
    expected = EndOfStream(len(head), len(data), len(data) - len(head) - 6)
    for cuts in ([], range(len(data)), range(0, len(data), 6), [len(head) + 1], [len(data) - 1]):
        parser = MainParser()
        events = []
        for piece in pieces(data, cuts):
            events += parser.feed(piece)
        assert [event for event in events if isinstance(event, EndOfStream)] == [expected]
        assert parser.eof() == Closed(len(data), len(data), certain=True)


@pytest.mark.parametrize(
    "end",
    [
        vmdesc()[:-1],
        vmdesc() + b"\x00",
        b'\x00\x06\x00\x00\x00\x01{"',
        struct.pack(">BBI", 0, 6, 8) + b'{"a\x01b":}',
        b"\x00",
        b"",
    ],
    ids=["cut", "something behind", "shorter than it is", "control byte", "no text", "nothing"],
)
def test_what_is_no_end_is_not_taken_for_one(end: bytes) -> None:
    data = tail(STATE, end)
    for cuts in ([], range(len(data))):
        parser = MainParser()
        for piece in pieces(data, cuts):
            parser.feed(piece)
        assert parser.eof() == Closed(len(data), len(data), certain=False)


def test_a_false_end_inside_the_state_does_not_hide_the_true_one() -> None:
    false = vmdesc(b'{"some": "text of a guest"}')
    data = tail(false, STATE, vmdesc())
    events, error = feed(data)
    assert not error
    assert [event.end for event in events if isinstance(event, EndOfStream)] == [
        len(tail(false)),
        len(data),
    ]


def test_sections_behind_rams_end_are_not_looked_at() -> None:
    data = tail(b"\xff" * 100, part(RAM_ID), record(0, EOS), counted(b"whatever"))
    events, error = feed(data)
    assert not error
    assert type(events[-1]).__name__ == "RamEnd"


def test_a_buffer_is_the_callers_again_in_every_place() -> None:
    data = bytearray(bytes(stream_with(b"body" * 9, rounds=True).data) + STATE + vmdesc())
    for cut in range(1, len(data)):
        parser = MainParser()
        piece = data[:cut]
        parser.feed(piece)
        piece.clear()  # raises BufferError while the parser holds on to it
        parser.feed(data[cut:])
        assert parser.eof().certain
