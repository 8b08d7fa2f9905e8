"""The 24 bytes that open a connection between two Ramferrys."""

from __future__ import annotations

import pytest

from ramferry.errors import RemoteProtocolError
from ramferry.wire.relay_opening import (
    Kind,
    Opening,
    Place,
    parse_opening,
    parse_place,
    what_begins_so,
)

TOKEN = bytes(range(16))
WRITTEN = [
    (Opening(Kind.CONTROL), "52465259 0001 01 00" + "00" * 16),
    (Opening(Kind.MAIN, TOKEN), "52465259 0001 02 00" + TOKEN.hex()),
    (Opening(Kind.MULTIFD, TOKEN), "52465259 0001 03 00" + TOKEN.hex()),
    (Opening(Kind.RESUMED, TOKEN), "52465259 0001 04 00" + TOKEN.hex()),
    (Opening(Kind.STREAM, TOKEN), "52465259 0001 05 00" + TOKEN.hex()),
]


@pytest.mark.parametrize(("opening", "text"), WRITTEN, ids=lambda one: str(one)[:20])
def test_an_opening_as_bytes_both_ways(opening: Opening, text: str) -> None:
    raw = bytes.fromhex(text)
    assert opening.encode() == raw
    assert parse_opening(raw) == opening


@pytest.mark.parametrize(
    ("at", "value", "sentence"),
    [
        (0, 0x51, "expected a Ramferry, received bytes 51465259"),
        (5, 2, "expected opening version 1, received version 2"),
        (6, 0, "expected a known kind of connection, received kind 0"),
        (6, 6, "expected a known kind of connection, received kind 6"),
        (7, 1, "expected a zero byte in the opening, received 0x01"),
    ],
)
def test_another_byte_is_refused(at: int, value: int, sentence: str) -> None:
    raw = bytearray(WRITTEN[1][0].encode())
    raw[at] = value
    with pytest.raises(RemoteProtocolError) as caught:
        parse_opening(raw)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("first", "who"),
    [
        (
            b"QEVM",
            "is no Ramferry, but a QEMU's main channel: listen for that at tcp:, or at tls: with "
            "--tls-creds",
        ),
        (b"\x11\x22\x33\x44", "is no Ramferry, but a QEMU's multifd channel: listen for that at"),
        (
            b"\x16\x03\x01\x02",
            "began TLS, and this address is in clear: listen at tls: (a QEMU)",
        ),
        (b"\x15\x03\x01\x02", "speaks TLS: give this side --tls-creds"),
        (b"SSH-2.0-", "is no Ramferry, but an SSH server"),
        (b"GET / HTTP", "is no Ramferry, but a web client"),
        (b'{"QMP": ', "is no Ramferry, but a QMP monitor"),
        (b"\x00\x01\x02\x03", "is no Ramferry, but begins with bytes 00010203"),
    ],
)
def test_what_begins_otherwise_has_a_name(first: bytes, who: str) -> None:
    assert what_begins_so(first).startswith(who)


def test_a_place_as_bytes_both_ways() -> None:
    assert Place(2, 255).encode() == b"\x02\xff"
    assert parse_place(b"\x02\xff") == Place(2, 255)
    assert parse_place(b"\x00\x01") == Place(0, 1)


@pytest.mark.parametrize("raw", [b"\0\0", b"\1\1", b"\xff\xff", b"\5\4"])
def test_a_place_beyond_the_number_of_connections_is_none(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="a connection of 1 to 255 by its number"):
        parse_place(raw)
