"""Messages between two Ramferrys: their bytes both ways, their bounds, and what is passed over."""

from __future__ import annotations

import json

import pytest

from ramferry.errors import RemoteProtocolError
from ramferry.wire.relay_messages import (
    HEAD_SIZE,
    MOST,
    Ask,
    Connected,
    Failed,
    Features,
    Hello,
    Load,
    Message,
    Outcome,
    Told,
    body_size,
    check_body,
    encode,
    parse_hello,
    parse_message,
)

HELLO = Hello(
    ramferry="0.1.0",
    protocol=(1, 1),
    features=Features(digests=("xxh3-128",), answers=True),
    inflates={"none": "software"},
    method="zstd",
)
HELLO_JSON = (
    b'{"ramferry":"0.1.0","protocol":[1,1],"features":{"digests":["xxh3-128"],"answers":true},'
    b'"inflates":{"none":"software"},"method":"zstd"}'
)


def raw(head: str, body: bytes) -> bytes:
    return bytes.fromhex(head) + body


MESSAGES: list[tuple[Message, bytes]] = [
    (
        Failed("why", 7),
        bytes.fromhex("0000002d 26c8efa64b4430ea")
        + b'{"kind":"failed","error":"why","exit_code":7}',
    ),
    (Ask(), raw("0000000e7a8139497b4b7456", b'{"kind":"ask"}')),
    (
        Outcome("pending"),
        raw("00000026ad07db6844012a29", b'{"kind":"outcome","outcome":"pending"}'),
    ),
    (
        Outcome("taken"),
        raw("00000024534fbf0b2a6140d9", b'{"kind":"outcome","outcome":"taken"}'),
    ),
    (
        Outcome("not taken", "its QEMU ended"),
        bytes.fromhex("0000003f c1cd86de986963d3")
        + b'{"kind":"outcome","outcome":"not taken","why":"its QEMU ended"}',
    ),
    (
        Outcome("not taken", "damaged", 7),
        bytes.fromhex("00000046 f27e085a60584605")
        + b'{"kind":"outcome","outcome":"not taken","why":"damaged","exit_code":7}',
    ),
    (Load(1.5), raw("0000001befe23f2a032a67ec", b'{"kind":"load","cores":1.5}')),
    (
        Load(1.5, 0.25, 1e-9, 2e-9, 0.125, "0123456789abcdef"),
        raw(
            "0000006febd507c259fd1627",
            b'{"kind":"load","cores":1.5,"used":0.25,"byte_cost":1e-9,"decode":2e-9,"behind":0.125,'
            b'"host":"0123456789abcdef"}',
        ),
    ),
    (Told(), raw("0000000f2824b62e030da61e", b'{"kind":"told"}')),
    (Connected(), raw("00000014786e5f21546da1c8", b'{"kind":"connected"}')),
]


def test_a_hello_as_bytes_both_ways() -> None:
    assert encode(HELLO) == bytes.fromhex("00000087 4fc3f1d78a051a31") + HELLO_JSON
    assert parse_hello(HELLO_JSON) == HELLO


@pytest.mark.parametrize(("message", "sent"), MESSAGES)
def test_a_message_as_bytes_both_ways(message: Message, sent: bytes) -> None:
    assert encode(message) == sent
    head, body = sent[:HEAD_SIZE], sent[HEAD_SIZE:]
    assert body_size(head) == len(body)
    check_body(head, body)
    assert parse_message(body) == message


@pytest.mark.parametrize("at", [4, 11, 12, 20])
def test_a_flipped_bit_of_a_message_is_seen(at: int) -> None:
    sent = bytearray(MESSAGES[0][1])
    sent[at] ^= 1
    with pytest.raises(RemoteProtocolError, match="a message as it was sent"):
        check_body(sent[:HEAD_SIZE], bytes(sent[HEAD_SIZE:]))


def test_features_and_fields_that_are_not_known_are_passed_over() -> None:
    told = json.loads(HELLO_JSON)
    told["features"]["teleport"] = ["at once"]
    told["weather"] = {"rain": True}
    assert parse_hello(json.dumps(told).encode()) == HELLO


@pytest.mark.parametrize("size", [0, MOST + 1, 1 << 30, 0xFFFFFFFF])
def test_a_size_out_of_bounds_is_refused_before_anything_is_received(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"a message of 1 to {MOST} bytes, received"):
        body_size(size.to_bytes(4, "big") + bytes(8))


@pytest.mark.parametrize(
    "change",
    [
        {"ramferry": 1},
        {"ramferry": "x" * 65},
        {"protocol": [1]},
        {"protocol": [0, 1]},
        {"protocol": [2, 1]},
        {"protocol": [1, 65536]},
        {"features": {"digests": ["x"] * 65}},
        {"inflates": {str(n): "software" for n in range(65)}},
        {"channels": 0},
        {"channels": 256},
        {"page_size": 100},
        {"refused": "x" * 4097},
    ],
)
def test_a_hello_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    told = json.loads(HELLO_JSON) | change
    with pytest.raises(RemoteProtocolError):
        parse_hello(json.dumps(told).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'{"kind":"dance"}',
        b'{"outcome":"taken"}',
        b'{"kind":"outcome","outcome":"perhaps"}',
        b'{"kind":"failed","error":"","exit_code":0}',
        b'{"kind":"ask"',
        b'{"kind":"ask","x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b"\xff\xfe",
    ],
    ids=range(10),
)
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_message(body)
