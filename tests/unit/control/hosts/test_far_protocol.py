"""The lines that both halves say: as bytes, and what is refused."""

from __future__ import annotations

import msgspec
import pytest

from ramferry.control.hosts import far_protocol as far


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            far.Ask(7, far.Start(1, 2, ("relay",), b"key")),
            b'{"type":"ask","number":7,"question":{"type":"start","out":1,"err":2,'
            b'"arguments":["relay"],"secret":"a2V5"}}\n',
        ),
        (far.Piece(3, b"\0\xff"), b'{"type":"piece","stream":3,"data":"AP8="}\n'),
        (far.Over(3), b'{"type":"over","stream":3,"exit_code":0}\n'),
        (far.Alive(), b'{"type":"alive"}\n'),
    ],
)
def test_as_bytes(message: msgspec.Struct, line: bytes) -> None:
    assert far.line(message) == line
    assert far.from_near.decode(line) == message


def test_the_first_line() -> None:
    line = b'{"ramferry_far":1,"version":"0.1.0","a field to come":1}\n'
    assert far.hello.decode(line) == far.Hello(1, "0.1.0")
    for wrong in (b"{}", b"[]", b"1", b'{"ramferry_far":"1","version":"x"}'):
        with pytest.raises(msgspec.DecodeError):
            far.hello.decode(wrong)


@pytest.mark.parametrize(
    "line",
    [b'{"type":"shell"}', b'{"type":"piece","stream":"1","data":""}', b'{"type":"piece"}'],
)
def test_refused(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        far.from_near.decode(line)
    with pytest.raises(msgspec.DecodeError):
        far.from_far.decode(line)


def test_the_longest_piece_is_shorter_than_a_line_may_be() -> None:
    assert len(far.line(far.Piece(1 << 40, bytes(far.PIECE_BYTES)))) < far.MOST_BYTES
