"""The main channel's items as bytes and as events, the states they may come in, and its end."""

from __future__ import annotations

import struct

import pytest

from ramferry.errors import RemoteProtocolError
from ramferry.wire.events import (
    Closed,
    Command,
    Configuration,
    EndOfStream,
    MainEvent,
    StreamHeader,
)
from ramferry.wire.grammar import COMMANDS, MAX_SECTIONS, SectionType, State
from ramferry.wire.main import MainParser
from wire_streams import (
    CONFIGURATION,
    EOS,
    HEADER,
    PAGE,
    RAM_ID,
    begun,
    command,
    feed,
    footer,
    marks,
    part,
    record,
    start,
    vmdesc,
)


def check_item(raw: bytes, *expected: MainEvent, after: bytes = HEADER + CONFIGURATION) -> None:
    """``raw`` gives these events, the last of them with its last byte and not before."""
    parser = MainParser()
    parser.feed(after)
    early = [event for byte in raw[:-1] for event in parser.feed(bytes([byte]))]
    assert early == list(expected[:-1])
    assert parser.feed(raw[-1:]) == [expected[-1]]
    whole = MainParser()
    whole.feed(after)
    assert whole.feed(raw) == list(expected)


def refused(raw: bytes, *, after: bytes = HEADER + CONFIGURATION) -> str:
    """The sentence with which ``raw`` is refused, which both ways of feeding agree on."""
    data = after + raw
    _, whole = feed(data)
    _, single = feed(data, range(len(data)))
    assert whole == single
    assert whole.startswith("main: expected ")
    assert "the rest of the stream" not in whole
    return whole


def test_header() -> None:
    check_item(bytes.fromhex("5145564d 00000003"), StreamHeader(0, 8, 3), after=b"")


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"QEVN\0\0\0\3", "main: expected magic 5145564d, received 5145564e (up to byte 4)"),
        (b"QEVM\0\0\0\2", "main: expected stream version 3, received version 2 (up to byte 8)"),
    ],
)
def test_another_stream_is_refused(raw: bytes, sentence: str) -> None:
    assert refused(raw, after=b"") == sentence


def test_configuration() -> None:
    raw = bytes.fromhex("07 0000000d") + b"pc-i440fx-7.2"
    check_item(raw, Configuration(8, 26, "pc-i440fx-7.2"), after=HEADER)


@pytest.mark.parametrize(
    ("raw", "number", "name", "data"),
    [
        ("08 0001 0000", 1, "OPEN_RETURN_PATH", ""),
        ("08 0002 0004 00000001", 2, "PING", "00000001"),
        ("08 0003 0000", 3, "POSTCOPY_ADVISE", ""),
        ("08 0003 0010" + "0000000000001000" * 2, 3, "POSTCOPY_ADVISE", "0000000000001000" * 2),
        ("08 0006 0007 00 04 61626364 00", 6, "POSTCOPY_RAM_DISCARD", "00046162636400"),
        ("08 000b 0000", 11, "SWITCHOVER_START", ""),
    ],
)
def test_command(raw: str, number: int, name: str, data: str) -> None:
    literal = bytes.fromhex(raw)
    check_item(literal, Command(15, 15 + len(literal), number, name, bytes.fromhex(data)))


def test_a_package_is_passed_over_behind_its_command() -> None:
    package = b"QEVM" * 1000
    raw = command(7, struct.pack(">I", len(package))) + package + command(1)
    end = 15 + len(raw)
    check_item(
        raw,
        Command(15, 24, 7, "PACKAGED", struct.pack(">I", len(package))),
        Command(end - 5, end, 1, "OPEN_RETURN_PATH", b""),
    )


@pytest.mark.parametrize("number", [0, 12, 0xFFFF])
def test_an_unknown_command_is_refused(number: int) -> None:
    assert f"expected a command up to 11, received command {number}" in refused(command(number))


@pytest.mark.parametrize("number", list(COMMANDS))
def test_a_command_of_another_length_is_refused(number: int) -> None:
    too_long = max(COMMANDS[number].lengths) + 1
    raw = command(number, bytes(too_long))
    assert f"bytes of {COMMANDS[number].name}, received {too_long} bytes" in refused(raw)


def test_an_advice_is_empty_or_16_bytes() -> None:
    assert "[0, 16] bytes of POSTCOPY_ADVISE, received 8 bytes" in refused(command(3, bytes(8)))


STREAMS = {
    State.OPENING: HEADER,
    State.CONFIGURED: HEADER + CONFIGURATION,
    State.SETUP: HEADER + CONFIGURATION + command(1),
    State.ROUNDS: bytes(begun().data),
    State.ENDED: HEADER + CONFIGURATION + command(1) + b"\x00",
    State.DESCRIBED: HEADER + CONFIGURATION + command(1) + vmdesc(),
}
ALLOWED = {
    State.OPENING: {1, 4, 7, 8},
    State.CONFIGURED: {1, 4, 5, 8},
    State.SETUP: {0, 1, 2, 3, 4, 8},
    State.ROUNDS: {1, 2, 3, 4, 8},
    State.ENDED: {6},
    State.DESCRIBED: set(),
}


@pytest.mark.parametrize("state", STREAMS, ids=lambda state: state.name)
@pytest.mark.parametrize("number", [*SectionType, 0x09, 0x7E, 0xFF], ids=hex)
def test_only_what_may_come_in_a_state_is_taken(state: State, number: int) -> None:
    parser = MainParser()
    parser.feed(STREAMS[state])
    assert parser.state is state
    if number in ALLOWED[state]:
        parser.feed(bytes([number]))
        return
    with pytest.raises(RemoteProtocolError, match=rf"in {state.name}, received .*{number:#04x}"):
        parser.feed(bytes([number]))


def test_an_error_is_repeated_and_nothing_else_is_taken() -> None:
    parser = MainParser()
    with pytest.raises(RemoteProtocolError) as first:
        parser.feed(b"no stream")
    for again in (lambda: parser.feed(HEADER), parser.eof):
        with pytest.raises(RemoteProtocolError) as second:
            again()
        assert second.value is first.value


def test_position_counts_every_byte_that_was_fed() -> None:
    parser = MainParser()
    data = bytes(begun().data)
    for index, byte in enumerate(data):
        assert parser.position == index
        parser.feed(bytes([byte]))
    assert parser.position == len(data)


def test_end_of_a_stream_without_ram() -> None:
    raw = HEADER + CONFIGURATION + command(1) + vmdesc()
    parser = MainParser()
    at = len(raw) - len(vmdesc())
    assert parser.feed(raw)[-2:] == [
        EndOfStream(at, at + 1, None),
        EndOfStream(at + 1, len(raw), len(vmdesc()) - 6),
    ]
    assert parser.eof() == Closed(len(raw), len(raw), certain=True)


@pytest.mark.parametrize("state", [State.OPENING, State.CONFIGURED, State.SETUP, State.ROUNDS])
def test_a_stream_may_not_end_before_rams_end(state: State) -> None:
    parser = MainParser()
    parser.feed(STREAMS[state])
    size = len(STREAMS[state])
    with pytest.raises(RemoteProtocolError, match=f"{state.name}, received its end after {size} b"):
        parser.eof()


def test_a_stream_may_not_end_inside_the_vm_description() -> None:
    parser = MainParser()
    parser.feed(STREAMS[State.DESCRIBED][:-1])
    with pytest.raises(RemoteProtocolError, match="in DESCRIBED, received its end"):
        parser.eof()


def test_behind_rams_end_nobody_can_tell_a_cut() -> None:
    stream = begun()
    stream.ram(kind=3)
    stream.add(b"device state")
    parser = MainParser()
    parser.feed(bytes(stream.data))
    assert parser.state is State.TAIL
    assert parser.eof() == Closed(len(stream.data), len(stream.data), certain=False)


def test_two_streams_side_by_side_do_not_mix() -> None:
    one, two = MainParser(), MainParser()
    one.feed(bytes(begun(rounds=True).data))
    two.feed(bytes(begun(blocks=[(b"other", PAGE)]).data))
    assert (one.mode, two.mode) == ("round", "section")
    assert list(two.blocks) == ["other"]


def test_ram_end_covers_its_section() -> None:
    stream = begun()
    size = len(stream.data)
    stream.ram(kind=3)
    events, error = feed(bytes(stream.data))
    assert not error
    last = events[-1]
    assert (type(last).__name__, last.start, last.end) == ("RamEnd", size, len(stream.data))
    assert marks(events) == stream.marks


def test_marks_come_with_their_last_byte() -> None:
    parser = MainParser()
    parser.feed(bytes(begun().data) + part(RAM_ID))
    at = parser.position
    assert not parser.feed(record(0, EOS)[:7])
    (mark,) = parser.feed(record(0, EOS)[7:])
    assert (mark.start, mark.end) == (at, at + 8)


def test_a_section_that_was_not_started_is_refused() -> None:
    sentence = refused(part(9), after=bytes(begun().data))
    assert "the id of a section that was started, received id 9" in sentence


def test_bodies_that_can_be_read_need_their_footer() -> None:
    raw = part(RAM_ID) + record(0, EOS)
    body = bytes(begun().data)
    assert "before 2.4" in refused(raw + part(RAM_ID), after=body)
    assert "the footer of id 2, received id 3" in refused(raw + footer(3), after=body)


def test_only_one_ram_of_version_4() -> None:
    assert "ram version 4, received version 3" in refused(start(1, b"ram", 3))
    assert "one START of ram, received a FULL of ram" in refused(start(1, b"ram", 4, kind=4))
    again = refused(start(7, b"ram", 4), after=bytes(begun().data))
    assert "one START of ram, received a START of ram" in again
    taken = refused(start(RAM_ID, b"more", 1), after=bytes(begun().data))
    assert "an id other than that of 'ram', received id 2" in taken


def test_the_number_of_sections_is_bounded() -> None:
    sections = b"".join(
        start(index, b"dirty-bitmap", 1) + b"\x01" + footer(index) for index in range(MAX_SECTIONS)
    )
    parser = MainParser()
    parser.feed(HEADER + CONFIGURATION + sections)
    with pytest.raises(RemoteProtocolError, match=f"at most {MAX_SECTIONS} sections, received 'e'"):
        parser.feed(start(MAX_SECTIONS, b"e", 1))
