"""What the far half says, and that it says nothing once it is closed."""

from __future__ import annotations

import os

from ramferry.control.far import outgoing
from ramferry.control.far.outgoing import Outgoing
from ramferry.control.hosts import far_protocol as far


def test_messages_go_out_in_their_order() -> None:
    reading, writing = os.pipe()
    out = Outgoing(writing)
    out.say(far.Piece(3, b"first"))
    out.say(far.Over(3))
    out.close()
    os.close(writing)
    with os.fdopen(reading, "rb") as lines:
        said = [far.from_far.decode(line) for line in lines]
    assert said == [far.Piece(3, b"first"), far.Over(3)]


def test_after_its_end_nothing_is_written_to_a_descriptor_of_that_number() -> None:
    """A monitor's thread may have a last word when the near half has long gone."""
    reading, writing = os.pipe()
    out = Outgoing(writing)
    out.close()
    out.say(far.Over(3))
    os.close(writing)
    with os.fdopen(reading, "rb") as lines:
        assert lines.read() == b""
    assert out.broken
    assert not out._thread.is_alive()


def test_a_near_half_that_reads_nothing_does_not_hold_up_the_end() -> None:
    reading, writing = os.pipe()
    out = Outgoing(writing)
    for _ in range(outgoing.MOST_WAITING // far.PIECE_BYTES + 2):
        out.say(far.Piece(3, bytes(far.PIECE_BYTES)))
    assert out.broken
    out.close()
    os.close(reading)
    out._thread.join(10)
    assert not out._thread.is_alive()
    os.close(writing)
