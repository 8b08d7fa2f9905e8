"""The configuration's subsections as bytes and as events."""

from __future__ import annotations

import struct

import pytest

from ramferry.wire.events import Configuration, ConfigurationSubsection, MainEvent
from ramferry.wire.main import MainParser
from wire_streams import CONFIGURATION, HEADER, counted, feed

HEAD = HEADER + CONFIGURATION


def subsection(name: bytes, body: bytes, version: int = 1) -> bytes:
    return b"\x05" + counted(name) + struct.pack(">I", version) + body


def only_event(raw: bytes) -> MainEvent:
    parser = MainParser()
    parser.feed(HEAD)
    for byte in raw[:-1]:
        assert not parser.feed(bytes([byte]))
    (event,) = parser.feed(raw[-1:])
    assert (event.start, event.end) == (len(HEAD), len(HEAD) + len(raw))
    return event


def test_target_page_bits() -> None:
    raw = (
        bytes.fromhex("05 1e")
        + b"configuration/target-page-bits"
        + bytes.fromhex("00000001 0000000e")
    )
    event = only_event(raw)
    assert isinstance(event, ConfigurationSubsection)
    assert (event.name, event.value) == ("target-page-bits", 14)


def test_capabilities() -> None:
    raw = (
        bytes.fromhex("05 1a")
        + b"configuration/capabilities"
        + bytes.fromhex("00000001 00000001 0f")
        + b"x-ignore-shared"
    )
    event = only_event(raw)
    assert isinstance(event, ConfigurationSubsection)
    assert (event.name, event.value) == ("capabilities", ("x-ignore-shared",))


def test_uuid() -> None:
    raw = (
        bytes.fromhex("05 12")
        + b"configuration/uuid"
        + bytes.fromhex("00000001")
        + bytes(range(16))
    )
    event = only_event(raw)
    assert isinstance(event, ConfigurationSubsection)
    assert (event.name, event.value) == ("uuid", bytes(range(16)))


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (subsection(b"configuration/other", b""), "received configuration/other, version 1"),
        (subsection(b"uuid", b""), "received uuid, version 1"),
        (subsection(b"configuration/uuid", b"", 2), "received configuration/uuid, version 2"),
        (
            subsection(b"configuration/target-page-bits", struct.pack(">I", 17)),
            "10 to 16 target page bits, received 17",
        ),
        (
            subsection(b"configuration/target-page-bits", struct.pack(">I", 9)),
            "10 to 16 target page bits, received 9",
        ),
        (
            subsection(b"configuration/capabilities", struct.pack(">I", 65)),
            "at most 64 capabilities, received 65",
        ),
        (
            subsection(
                b"configuration/capabilities", struct.pack(">I", 1) + counted(b"mapped-ram")
            ),
            "expected a stream, received a mapped-ram file",
        ),
    ],
)
def test_a_bad_subsection_is_refused(raw: bytes, sentence: str) -> None:
    _, error = feed(HEAD + raw)
    assert sentence in error


@pytest.mark.parametrize("length", [0, 257, 2**32 - 1])
def test_the_machine_name_is_bounded(length: int) -> None:
    _, error = feed(HEADER + b"\x07" + struct.pack(">I", length) + b"pc" * 200)
    assert f"a machine name of 1 to 256 bytes, received {length} bytes" in error


@pytest.mark.parametrize("length", [1, 256])
def test_machine_names_at_the_bounds(length: int) -> None:
    name = b"m" * length
    (event,) = MainParser().feed(HEADER + b"\x07" + struct.pack(">I", length) + name)[1:]
    assert isinstance(event, Configuration)
    assert event.machine == name.decode()


def test_as_many_capabilities_as_the_bound() -> None:
    names = b"".join(counted(b"c%d" % index) for index in range(64))
    event = only_event(subsection(b"configuration/capabilities", struct.pack(">I", 64) + names))
    assert isinstance(event, ConfigurationSubsection)
    assert event.value == tuple(f"c{index}" for index in range(64))
