"""Messages between two Ramferrys: their bytes both ways, their bounds, and what is passed over."""

from __future__ import annotations

import json

import pytest

from ramferry.errors import RemoteProtocolError
from ramferry.wire.relay_messages import (
    MOST,
    Ask,
    Failed,
    Features,
    Hello,
    Message,
    Outcome,
    Told,
    body_size,
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
MESSAGES: list[tuple[Message, bytes]] = [
    (Failed("why", 7), b'\0\0\0\x2d{"kind":"failed","error":"why","exit_code":7}'),
    (Ask(), b'\0\0\0\x0e{"kind":"ask"}'),
    (Outcome("pending"), b'\0\0\0\x2f{"kind":"outcome","outcome":"pending","why":""}'),
    (Outcome("taken"), b'\0\0\0\x2d{"kind":"outcome","outcome":"taken","why":""}'),
    (
        Outcome("not taken", "its QEMU ended"),
        b'\0\0\0\x3f{"kind":"outcome","outcome":"not taken","why":"its QEMU ended"}',
    ),
    (Told(), b'\0\0\0\x0f{"kind":"told"}'),
]


def test_a_hello_as_bytes_both_ways() -> None:
    assert encode(HELLO) == b"\0\0\0\x87" + HELLO_JSON
    assert parse_hello(HELLO_JSON) == HELLO


@pytest.mark.parametrize(("message", "raw"), MESSAGES)
def test_a_message_as_bytes_both_ways(message: Message, raw: bytes) -> None:
    assert encode(message) == raw
    assert body_size(raw[:4]) == len(raw) - 4
    assert parse_message(raw[4:]) == message


def test_features_and_fields_that_are_not_known_are_passed_over() -> None:
    told = json.loads(HELLO_JSON)
    told["features"]["teleport"] = ["at once"]
    told["weather"] = {"rain": True}
    assert parse_hello(json.dumps(told).encode()) == HELLO


@pytest.mark.parametrize("size", [0, MOST + 1, 1 << 30, 0xFFFFFFFF])
def test_a_size_out_of_bounds_is_refused_before_anything_is_received(size: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"a message of 1 to {MOST} bytes, received"):
        body_size(size.to_bytes(4, "big"))


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
