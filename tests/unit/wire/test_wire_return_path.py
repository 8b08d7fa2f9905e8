"""Return path messages as bytes and as events, both ways."""

from __future__ import annotations

import struct

import pytest

from ramferry.errors import RemoteProtocolError
from ramferry.wire.return_path import (
    LENGTHS,
    MAX_RECV_BITMAP,
    MessageType,
    Pong,
    RecvBitmap,
    ReqPages,
    ResumeAck,
    ReturnPathParser,
    RpEvent,
    Shut,
    SwitchoverAck,
    pong,
    shut,
)

END = "0123456789abcdef"
MESSAGES: list[tuple[str, RpEvent]] = [
    ("0001 0004 00000000", Shut(0, 8, 0)),
    ("0001 0004 00000001", Shut(0, 8, 1)),
    ("0002 0004 00000042", Pong(0, 8, 0x42)),
    (
        "0003 0013 00000000000c0000 00001000 06 70632e72616d",
        ReqPages(0, 23, 0xC0000, 4096, "pc.ram"),
    ),
    ("0004 000c 00000000000c0000 00001000", ReqPages(0, 16, 0xC0000, 4096, "")),
    (
        "0005 0007 06 70632e72616d 0000000000000008 ffffffffffffffff" + END,
        RecvBitmap(0, 35, "pc.ram", 8),
    ),
    ("0006 0004 00000001", ResumeAck(0, 8, 1)),
    ("0007 0000", SwitchoverAck(0, 4)),
]


@pytest.mark.parametrize(("raw", "event"), MESSAGES, ids=lambda value: type(value).__name__)
def test_messages(raw: str, event: RpEvent) -> None:
    literal = bytes.fromhex(raw)
    assert ReturnPathParser().feed(literal) == [event]
    parser = ReturnPathParser()
    for byte in literal[:-1]:
        assert not parser.feed(bytes([byte]))
    assert parser.feed(literal[-1:]) == [event]


def test_every_message_type_is_shown_above() -> None:
    assert {int(raw[:4], 16) for raw, _ in MESSAGES} == set(MessageType) == set(LENGTHS)


def test_what_we_write() -> None:
    assert shut() == bytes.fromhex("0001 0004 00000000")
    assert shut(1) == bytes.fromhex("0001 0004 00000001")
    assert pong(0x42) == bytes.fromhex("0002 0004 00000042")


def test_a_captured_postcopy_return_path() -> None:
    """Read off QEMU 7.2 as the destination of a postcopy migration."""
    raw = bytes.fromhex(
        "0002000400000001 0002000400000002 0002000400000004"
        "0003001300000000000c0000000010000670632e72616d"
        "0002000400000003 0001000400000000"
    )
    assert ReturnPathParser().feed(raw) == [
        Pong(0, 8, 1),
        Pong(8, 16, 2),
        Pong(16, 24, 4),
        ReqPages(24, 47, 0xC0000, 4096, "pc.ram"),
        Pong(47, 55, 3),
        Shut(55, 63, 0),
    ]


def test_who_speaks_tls_is_known_by_its_alert() -> None:
    alert = bytes.fromhex("1503030002 0246")
    speaks = "^the destination speaks TLS: connect with relay: or tls: and --tls-creds$"
    with pytest.raises(RemoteProtocolError, match=speaks):
        ReturnPathParser().feed(alert)
    parser = ReturnPathParser()
    assert parser.feed(alert[:3]) == []
    with pytest.raises(RemoteProtocolError, match=speaks):
        parser.feed(alert[3:4])
    # behind a message it is none
    with pytest.raises(RemoteProtocolError, match="message type up to 7, received type 5379"):
        ReturnPathParser().feed(pong(1) + alert)


def test_nothing_behind_shut_takes_it_back() -> None:
    parser = ReturnPathParser()
    assert parser.feed(shut() + b"\xff" * 100) == [Shut(0, 8, 0)]
    assert parser.feed(b"\xff" * 100) == []
    assert parser.position == 208


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ("0000 0000", "expected a message type up to 7, received type 0"),
        ("0008 0000", "expected a message type up to 7, received type 8"),
        ("ffff ffff", "expected a message type up to 7, received type 65535"),
        ("0001 0005", "expected 4 bytes of SHUT, received 5 bytes"),
        ("0002 0201", "expected 4 bytes of PONG, received 513 bytes"),
        ("0003 0201", "expected 14 to 268 bytes of REQ_PAGES_ID, received 513 bytes"),
        ("0005 0001", "expected 2 to 256 bytes of RECV_BITMAP, received 1 bytes"),
        ("0007 0001", "expected 0 bytes of SWITCHOVER_ACK, received 1 bytes"),
        ("0005 0002 02 61", "expected a name of 1 bytes, received length 2"),
        ("0005 0002 01 61 0000000000000008" + "00" * 16, "the bitmap's end mark 0123456789abcdef"),
    ],
)
def test_a_bad_message_is_refused(raw: str, sentence: str) -> None:
    parser = ReturnPathParser()
    with pytest.raises(RemoteProtocolError) as raised:
        parser.feed(bytes.fromhex(raw))
    assert str(raised.value).startswith("return path: expected ")
    assert sentence in str(raised.value)
    with pytest.raises(RemoteProtocolError) as again:
        parser.feed(b"")
    assert again.value is raised.value


def test_a_bitmap_is_bounded_and_not_stored() -> None:
    head = bytes.fromhex("0005 0002 01 61")
    with pytest.raises(RemoteProtocolError, match=f"at most {MAX_RECV_BITMAP} bytes of bitmap"):
        ReturnPathParser().feed(head + struct.pack(">Q", MAX_RECV_BITMAP + 1))
    assert not ReturnPathParser().feed(head + struct.pack(">Q", MAX_RECV_BITMAP))
    parser = ReturnPathParser()
    size = 3_000_000
    parser.feed(head + struct.pack(">Q", size))
    for _ in range(3):
        assert not parser.feed(bytes(size // 3))
    (event,) = parser.feed(bytes.fromhex(END))
    assert event == RecvBitmap(0, 22 + size, "a", size)
