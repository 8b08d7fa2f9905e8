"""Streams of real QEMUs (tests/golden/README.md): every mark is found, and only those."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ramferry.wire.channel_states import ChannelState
from ramferry.wire.events import (
    BlockList,
    Command,
    Configuration,
    ConfigurationSubsection,
    MainEvent,
    NotParsed,
    RamEnd,
    Resynchronised,
)
from ramferry.wire.main import MainParser
from ramferry.wire.multifd import MultifdParser, RamPacket
from wire_streams import GOLDEN, marks


@dataclass(frozen=True)
class Capture:
    """What is known of a capture from elsewhere than its main stream."""

    name: str
    mode: str
    syncs: int
    """SYNC packets counted on each of its multifd channels."""
    zero_pages: int
    whole: bool
    copied: tuple[str, ...] = ()


CAPTURES = [
    Capture("7.2-microvm", "section", 3, 1025, True),
    Capture("7.2-rounds", "section", 5, 930, False),
    Capture("7.2-dirty-bitmap", "section", 536, 1035, True),
    Capture("10.0-microvm", "round", 3, 0, True),
    Capture("10.0-rounds", "round", 4, 0, False),
    Capture("10.0-virtio-mem", "round", 3, 0, False, ("0000:00:02.0/virtio-mem-device-early",)),
]


def events_of(data: bytes, size: int) -> tuple[MainParser, list[MainEvent]]:
    parser = MainParser()
    events: list[MainEvent] = []
    for at in range(0, len(data), size):
        events += parser.feed(data[at : at + size])
    return parser, events


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
def test_captured_main_stream(capture: Capture) -> None:
    data = (GOLDEN / f"{capture.name}.main").read_bytes()
    parser, events = events_of(data, len(data))
    assert len(marks(events)) == capture.syncs
    assert parser.mode == capture.mode
    assert parser.zero_pages == capture.zero_pages
    assert parser.eof().certain is capture.whole
    assert [event.idstr for event in events if isinstance(event, NotParsed)] == list(capture.copied)
    assert [event.idstr for event in events if isinstance(event, Resynchronised)] == list(
        capture.copied
    )
    assert len([event for event in events if isinstance(event, RamEnd)]) == 1
    for size in (1, 9, 4096):
        assert events_of(data, size)[1] == events


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
def test_every_mark_of_a_captured_stream_is_a_mark_record(capture: Capture) -> None:
    data = (GOLDEN / f"{capture.name}.main").read_bytes()
    literal = 0x200 if capture.mode == "round" else 0x10
    for first, last in marks(events_of(data, len(data))[1]):
        assert data[first:last] == literal.to_bytes(8, "big")


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
def test_a_captured_stream_opens_as_documented(capture: Capture) -> None:
    data = (GOLDEN / f"{capture.name}.main").read_bytes()
    _, events = events_of(data, len(data))
    (machine,) = [event.machine for event in events if isinstance(event, Configuration)]
    assert machine.startswith(("microvm", "pc-"))
    commands = [event.name for event in events if isinstance(event, Command)]
    assert commands[:2] == ["OPEN_RETURN_PATH", "PING"]
    assert ("SWITCHOVER_START" in commands) == capture.name.startswith("10.0")
    (blocks,) = [event for event in events if isinstance(event, BlockList)]
    assert sum(block.used_length for block in blocks.blocks) == blocks.total


def test_captured_uuid() -> None:
    data = (GOLDEN / "10.0-virtio-mem.main").read_bytes()
    (uuid,) = [
        event
        for event in events_of(data, len(data))[1]
        if isinstance(event, ConfigurationSubsection)
    ]
    assert (uuid.name, uuid.value) == (
        "uuid",
        bytes.fromhex("12345678" + "1234" * 3 + "123456789abc"),
    )


PACKETS: dict[tuple[str, int], list[tuple[bool, int, int, int]]] = {
    ("7.2-microvm", 0): [
        (True, 0, 0, 0),
        (False, 10, 0, 18426),
        (True, 5, 0, 7891),
        (False, 0, 0, 0),
        (True, 0, 0, 0),
    ],
    ("7.2-microvm", 1): [
        (True, 0, 0, 0),
        (False, 1, 0, 365),
        (False, 1, 0, 212),
        (True, 1, 0, 63),
        (False, 0, 0, 0),
        (True, 0, 0, 0),
    ],
    ("10.0-microvm", 0): [
        (True, 0, 0, 0),
        (False, 0, 128, 0),
        (False, 0, 128, 0),
        (False, 10, 118, 18426),
        (False, 0, 128, 0),
        (False, 1, 0, 204),
        (False, 1, 0, 64),
        (True, 0, 0, 0),
        (True, 0, 0, 0),
    ],
    ("10.0-microvm", 1): [
        (True, 0, 0, 0),
        (False, 0, 128, 0),
        (False, 0, 128, 0),
        (False, 0, 128, 0),
        (False, 0, 128, 0),
        (False, 1, 0, 367),
        (False, 25, 7, 59152),
        (True, 0, 0, 0),
        (True, 0, 0, 0),
    ],
}
"""SYNC or not, normal pages, zero pages, payload bytes: as the header's fields say."""


@pytest.mark.parametrize("capture", ["7.2-microvm", "10.0-microvm"])
@pytest.mark.parametrize("channel", [0, 1])
def test_captured_channels_have_a_sync_for_each_mark(capture: str, channel: int) -> None:
    main = (GOLDEN / f"{capture}.main").read_bytes()
    main_parser, events = events_of(main, len(main))
    raw = (GOLDEN / f"{capture}-{channel}.headers").read_bytes()
    parser = MultifdParser()
    parser.blocks = {block.name: block.used_length for block in main_parser.blocks.values()}
    packets = []
    while raw:
        piece = parser.want()
        piece[:], raw = raw[: len(piece)], raw[len(piece) :]
        packet = parser.filled()
        if parser.state is ChannelState.PAYLOAD:
            parser.payload_done()  # payloads are left out of the captures
        if isinstance(packet, RamPacket):
            packets.append((packet.sync, packet.normal, packet.zero, packet.payload_size))
    parser.ended(0)
    assert sum(sync for sync, *_ in packets) == len(marks(events))
    assert parser.method == "zlib"
    assert packets == PACKETS[capture, channel]
