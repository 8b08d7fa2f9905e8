"""Any bytes, split anywhere, give events or an error that names channel, place, expected, received.

And neither depends on the splits; and every mark of a stream that QEMU may send is found.
"""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from ramferry.wire.events import BlockList, Command, MainEvent, NotParsed, RamEnd, SyncMark
from ramferry.wire.grammar import COMMANDS
from wire_streams import (
    CONFIGURATION,
    CONTINUE,
    GOLDEN,
    HEADER,
    PAGE,
    PAGE_FLAG,
    RAM_ID,
    ZERO,
    Stream,
    command,
    counted,
    feed,
    footer,
    marks,
    part,
    record,
    start,
    vmdesc,
)

SENTENCE = re.compile(
    r"main: expected .+, received .+ \(up to byte \d+\)"
    r"|main: expected the rest of the stream, which is in [A-Z]+, received its end after \d+ bytes",
    re.DOTALL,
)
CUTS = st.lists(st.integers(0, 2000), max_size=8)
NAMES = st.text("abcdefghij/@:.0123456789", min_size=1, max_size=20).map(str.encode)
DEVICE_ID = 0x2F
GOLDEN_STREAMS = [path.read_bytes() for path in sorted(GOLDEN.glob("*.main"))]


def events_without_dependence_on_cuts(data: bytes, cuts: list[int]) -> tuple[list[MainEvent], str]:
    """Events and error of ``data``, checked to be the same cut, whole, and byte by byte."""
    within = [cut for cut in cuts if cut <= len(data)]
    single, error = feed(data, range(len(data)))
    assert not error or SENTENCE.fullmatch(error)
    for other_cuts in (within, []):
        other, other_error = feed(data, other_cuts)
        assert other_error == error
        # an error takes the events of its own piece with it
        assert other == single[: len(other)] if error else other == single
    for before, after in zip([None, *single], single, strict=False):
        assert 0 <= after.start <= after.end <= len(data)
        assert before is None or isinstance(after, RamEnd) or before.end <= after.end
    return single, error


@given(st.binary(max_size=400), CUTS)
def test_any_bytes(data: bytes, cuts: list[int]) -> None:
    events_without_dependence_on_cuts(data, cuts)


@given(st.binary(max_size=400), CUTS, st.booleans())
def test_any_bytes_behind_a_good_beginning(data: bytes, cuts: list[int], rounds: bool) -> None:
    stream = Stream(rounds=rounds)
    stream.ram_start([(b"pc.ram", 16 * PAGE)])
    stream.add(part(RAM_ID), record(0, ZERO, counted(b"pc.ram") + b"\0"))
    events_without_dependence_on_cuts(bytes(stream.data) + data, cuts)


@given(
    st.sampled_from(GOLDEN_STREAMS),
    st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 255)), max_size=3),
    st.integers(0, 1500),
    CUTS,
)
def test_captured_streams_with_damage(
    stream: bytes, damage: list[tuple[int, int]], end: int, cuts: list[int]
) -> None:
    data = bytearray(stream[:1500])
    for at, value in damage:
        data[at] = value
    events_without_dependence_on_cuts(bytes(data[: 1500 - end]), cuts)


@st.composite
def records(draw: st.DrawFn, blocks: list[tuple[bytes, int]], first: bool) -> list[bytes]:
    """Zero and normal pages of one section, the first of which names its block."""
    made: list[bytes] = []
    for _ in range(draw(st.integers(0, 4))):
        name, length = draw(st.sampled_from(blocks))
        pages = length // PAGE
        count = draw(st.integers(1, 40))
        head, flags = counted(name), 0
        for index in range(count):
            offset = (index * 7 % pages) * PAGE
            made.append(record(offset, ZERO | flags, head + b"\0"))
            head, flags = b"", CONTINUE
        if draw(st.booleans()):
            made.append(record(0, PAGE_FLAG | flags, draw(st.binary(max_size=9)).ljust(PAGE, b"~")))
    assert not first or not made or not made[0][7] & CONTINUE
    return made


def body(draw: st.DrawFn) -> bytes:
    """State of a device, in which its own footer does not stand by chance."""
    parts = st.one_of(st.binary(max_size=30), st.just(footer(DEVICE_ID)[:4]), st.just(b"\x7e\x00"))
    return b"".join(draw(st.lists(parts, max_size=4))).replace(footer(DEVICE_ID), b"") + b"."


@st.composite
def streams(draw: st.DrawFn) -> tuple[Stream, list[tuple[bytes, int]], list[int], bool]:
    """A stream that QEMU may send: with its blocks, its commands, and whether some is copied."""
    stream = Stream(rounds=draw(st.booleans()))
    names = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    blocks = [(name, draw(st.integers(1, 300)) * PAGE) for name in names]
    commands = draw(st.lists(st.sampled_from([1, 2, 4, 11]), max_size=3))
    for number in commands:
        stream.add(command(number, bytes(COMMANDS[number].lengths[0])))
    device = draw(st.sampled_from(["none", "early FULL", "iterating"]))
    if device == "early FULL":
        stream.add(start(DEVICE_ID, b"device-early", 1, kind=4), body(draw), footer(DEVICE_ID))
    stream.ram_start(blocks)
    if device == "iterating":
        stream.add(start(DEVICE_ID, b"device", 1), body(draw), footer(DEVICE_ID))
    for index in range(draw(st.integers(0, 4))):
        stream.ram(*draw(records(blocks, index == 0)), flush=draw(st.booleans()))
        if device == "iterating" and draw(st.booleans()):
            stream.add(part(DEVICE_ID), body(draw), footer(DEVICE_ID))
    stream.ram(kind=3)
    stream.add(start(99, b"timer", 2, kind=4), draw(st.binary(max_size=40)), footer(99), vmdesc())
    return stream, blocks, commands, device != "none"


@given(streams(), CUTS)
def test_every_mark_of_a_good_stream_is_found(
    made: tuple[Stream, list[tuple[bytes, int]], list[int], bool], cuts: list[int]
) -> None:
    stream, blocks, commands, copied = made
    events, error = events_without_dependence_on_cuts(bytes(stream.data), cuts)
    assert not error
    assert marks(events) == stream.marks
    found = [event for event in events if isinstance(event, SyncMark)]
    assert [mark.index for mark in found] == list(range(len(stream.marks)))
    (listed,) = [event for event in events if isinstance(event, BlockList)]
    assert [(block.name.encode(), block.used_length) for block in listed.blocks] == blocks
    assert [event.number for event in events if isinstance(event, Command)] == commands
    assert any(isinstance(event, NotParsed) for event in events) == copied
    assert events[-1].end == len(stream.data)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_a_copied_body_ends_at_a_footer_or_not_at_all(state: bytes, behind: bytes) -> None:
    data = HEADER + CONFIGURATION + start(DEVICE_ID, b"device", 1) + state + behind
    events, error = feed(data)
    if footer(DEVICE_ID) not in state + behind:
        assert not error
        assert isinstance(events[-1], NotParsed)
