"""Main in frames: what is handed out, what is a cut, marks. Its contract as a connection is in
tests/unit/transport/test_connection.py."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

import in_memory
from connecting import SETTLE, fill, taken
from ramferry.errors import RemoteProtocolError, UsageError
from ramferry.flows.peer.framed import Framed
from ramferry.wire.relay_frames import HEAD_SIZE, MARK, MOST, FrameKind, FrameWriter

ONE, TWO = bytes(range(16)), bytes(range(16, 32))


@dataclass(frozen=True, slots=True)
class Ends:
    """A framed end, and the bytes at the other one."""

    framed: Framed
    raw: in_memory.InMemory


@contextlib.contextmanager
def ends() -> Iterator[Ends]:
    near, far = in_memory.joined(held=1 << 20)
    with contextlib.closing(near), contextlib.closing(far):
        near.settle(SETTLE)
        far.settle(SETTLE)
        yield Ends(Framed(near), far)


@pytest.fixture
def both() -> Iterator[Ends]:
    with ends() as made:
        yield made


def frame(writer: FrameWriter, data: bytes, kind: FrameKind = FrameKind.DATA) -> bytes:
    return writer.head(kind, data) + data


def test_a_stream_as_bytes(both: Ends) -> None:
    writer = FrameWriter()
    assert both.framed.send([b"QEVM", b"", bytearray(MOST + 1)]) == MOST + 5
    both.framed.send_mark(3, ONE, 2)
    both.framed.finish()
    raw = b"".join(
        [
            frame(writer, b"QEVM"),
            frame(writer, bytes(MOST)),
            frame(writer, b"\0"),
            frame(writer, MARK.pack(3, ONE, 2), FrameKind.MARK),
            frame(writer, b"", FrameKind.END),
        ]
    )
    assert taken(both.raw, len(raw)) == raw
    assert both.raw.receive_some(memoryview(bytearray(1))) == 0


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5), st.integers(1, 40))
def test_it_comes_out_as_it_went_in_however_it_is_cut(parts: list[bytes], step: int) -> None:
    writer, stream = FrameWriter(), b"".join(parts)
    raw = b"".join(frame(writer, part) for part in parts)
    with ends() as both:
        both.framed.settle(0.001)
        view, got = memoryview(bytearray(1 << 12)), bytearray()
        for at in range(0, len(raw), step):
            both.raw.send([raw[at : at + step]])
            while (count := both.framed.receive_some(view)) is not None:
                got += view[:count]
        assert got == stream
        both.raw.send([frame(writer, b"", FrameKind.END)])
        assert both.framed.receive_some(view) == 0
        assert both.framed.receive_some(view) == 0


def test_a_mark_is_known_once_the_bytes_behind_it_are_read(both: Ends) -> None:
    writer = FrameWriter()
    both.raw.send([frame(writer, b"before")])
    both.raw.send([frame(writer, MARK.pack(0, ONE, 2), FrameKind.MARK), frame(writer, b"mark")])
    assert taken(both.framed, 6) == b"before"
    assert both.framed.mark(0) is None
    assert taken(both.framed, 4) == b"mark"
    assert both.framed.mark(1) is None
    assert both.framed.mark(0) == ONE
    assert both.framed.mark(0) is None


def test_marks_that_nobody_asks_for_are_bounded(both: Ends) -> None:
    writer = FrameWriter()
    for index in range(1000):
        both.raw.send([frame(writer, MARK.pack(index, TWO, 2), FrameKind.MARK)])
    both.raw.send([frame(writer, b"x")])
    taken(both.framed, 1)
    assert both.framed.mark(0) is None
    assert both.framed.mark(999) == TWO
    assert len(both.framed._marks) < 64


@pytest.mark.parametrize("kept", [0, 1, HEAD_SIZE - 1, HEAD_SIZE, HEAD_SIZE + 3])
def test_an_end_that_was_not_said_is_a_cut(both: Ends, kept: int) -> None:
    """Between two frames as well."""
    writer = FrameWriter()
    both.raw.send([frame(writer, b"whole"), frame(writer, b"second")[:kept]])
    both.raw.finish()
    view = memoryview(bytearray(20))
    # what came whole is not lost with it
    assert both.framed.receive_some(view, whole=True) == 5
    assert bytes(view[:5]) == b"whole"
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            both.framed.receive_some(view)


def test_nothing_of_a_damaged_frame_is_handed_out(both: Ends) -> None:
    writer = FrameWriter()
    good, bad = frame(writer, b"good"), bytearray(frame(writer, b"evil"))
    bad[-1] ^= 1
    both.raw.send([good, bad])
    view = memoryview(bytearray(20))
    assert both.framed.receive_some(view) == 4
    view[:] = bytes(20)
    with pytest.raises(RemoteProtocolError, match="frame 1 as it was sent, received another dig"):
        both.framed.receive_some(view)
    assert not any(view)


def test_a_frame_that_was_begun_goes_on_with_the_same_bytes() -> None:
    near, far = in_memory.joined(held=20_000)
    with contextlib.closing(near), contextlib.closing(far):
        ends = Framed(near), Framed(far)
        far.settle(SETTLE)
        count = fill(ends[0])
        assert 0 < count < 20_000
        for send in (ends[0].send_some, lambda data: ends[0].send([data])):
            with pytest.raises(UsageError, match="the same bytes"):
                send(b"other")
        assert taken(ends[1], count) == bytes(count)
        rest = bytes(16 << 10) + b"more"
        ends[0].settle(SETTLE)
        ends[0].send([rest[:16384]])
        assert taken(ends[1], 16384) == rest[:16384]
        assert ends[0].send([b"more"]) == 4
        ends[0].finish()
        assert taken(ends[1], 5) == b"more"


def test_an_end_in_a_frame_that_was_begun_is_a_cut() -> None:
    near, far = in_memory.joined(held=20_000)
    with contextlib.closing(near), contextlib.closing(far):
        ends = Framed(near), Framed(far)
        far.settle(SETTLE)
        count = fill(ends[0])
        ends[0].finish()
        assert taken(ends[1], count) == bytes(count)
        with pytest.raises(ConnectionResetError):
            taken(ends[1], 1)
