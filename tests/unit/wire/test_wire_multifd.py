"""One multifd channel: what it asks for, what it takes, and the sentence for all else."""

from __future__ import annotations

import struct

import pytest

from fakes_wire import device_state_header
from ramferry.errors import RemoteProtocolError, UsageError
from ramferry.vocabulary import METHOD_FLAGS
from ramferry.wire.channel_states import TRANSITIONS, ChannelState, Seen
from ramferry.wire.multifd import MultifdParser, Packet, RamPacket
from ramferry.wire.packets import (
    DEVICE_STATE,
    INITIAL_SIZE,
    MAX_DEVICE_STATE,
    SYNC,
    Initial,
    ram_header,
)

ZLIB = METHOD_FLAGS["zlib"]
BLOCKS = {"pc.ram": 0x400000, "rom": 0x1000}


def channel() -> MultifdParser:
    """Channel 3, behind its initial packet, of a guest with two blocks."""
    parser = MultifdParser(initial=False)
    parser.channel = "multifd 3"
    parser.blocks = BLOCKS
    return parser


def send(parser: MultifdParser, raw: bytes | bytearray) -> Packet | None:
    """Fill what the parser wants from ``raw``, which must be one header."""
    packet = None
    while raw:
        piece = parser.want()
        piece[:], raw = raw[: len(piece)], raw[len(piece) :]
        packet = parser.filled()
    return packet


def patched(raw: bytearray, at: int, value: int) -> bytearray:
    struct.pack_into(">I", raw, at, value)
    return raw


def header(**fields: object) -> bytearray:
    """A zlib packet of two pages, with fields of ``ram_header`` changed."""
    given = {"flags": ZLIB, "block": "pc.ram", "normal": [0, 0x1000], "payload_size": 50}
    return ram_header(**{**given, **fields})  # type: ignore[arg-type]


def refused(raw: bytes | bytearray, parser: MultifdParser | None = None) -> str:
    with pytest.raises(RemoteProtocolError) as raised:
        send(parser or channel(), raw)
    return str(raised.value)


def test_a_channel_begins_with_its_initial_packet() -> None:
    parser = MultifdParser()
    assert len(parser.want()) == INITIAL_SIZE
    assert send(parser, Initial(bytes(16), 7).encode()) == Initial(bytes(16), 7)
    assert parser.state is ChannelState.PREFIX
    assert parser.packets == 0


def test_the_payload_is_the_callers() -> None:
    parser = channel()
    packet = send(parser, header())
    assert isinstance(packet, RamPacket)
    assert packet.payload_size == 50
    with pytest.raises(UsageError, match="receive the payload first"):
        parser.want()
    parser.payload_done()
    assert isinstance(send(parser, ram_header(flags=SYNC)), RamPacket)
    assert parser.packets == 2


def test_a_stale_size_announces_no_payload() -> None:
    """QEMU 7.2 leaves the size of the packet before in packets without pages."""
    parser = channel()
    packet = send(parser, patched(patched(ram_header(), 20, 7891), 12, 128))
    assert isinstance(packet, RamPacket)
    assert packet.payload_size == 0
    assert parser.state is ChannelState.PREFIX


def test_sync_on_a_packet_with_pages() -> None:
    """QEMU 7.2 does this, then sends an empty packet."""
    parser = channel()
    packet = send(parser, header(flags=ZLIB | SYNC))
    assert isinstance(packet, RamPacket)
    assert (packet.sync, packet.normal, packet.payload_size) == (True, 2, 50)


def test_packets_of_zero_pages_have_no_payload() -> None:
    parser = channel()
    packet = send(parser, header(normal=[], zero=[0, 0x3FF000], payload_size=0))
    assert isinstance(packet, RamPacket)
    assert (packet.zero, packet.payload_size, parser.state) == (2, 0, ChannelState.PREFIX)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (patched(header(), 0, 0x11223345), "magic 11223344, received 11223345"),
        (patched(header(), 4, 2), "multifd version 1, received version 2"),
        (header(flags=0x80), "known packet flags, received flags 0x80"),
        (header(flags=0x06), "one compression method, received flags 0x6"),
        (header(flags=0x80000000), "known packet flags, received flags 0x80000000"),
        (patched(header(), 12, 64), "packets of 128 pages of 4096 bytes, received packets of 64"),
        (patched(header(), 12, 0), "packets of 128 pages of 4096 bytes, received packets of 0"),
        (patched(header(), 16, 129), "at most 128 pages, received 129 normal, 0 zero"),
        (patched(patched(header(), 16, 127), 32, 2), "at most 128 pages"),
        (patched(header(), 16, 2**32 - 1), "at most 128 pages"),
        (header(payload_size=0), "a payload for 2 pages, received next_packet_size 0"),
        (header(block="vga"), "a RAM block of this guest, received block 'vga'"),
        (header(block=""), "a RAM block name"),
        (header(block="p" * 256), "a RAM block name"),
        (
            header(normal=[0x400000]),
            "offsets inside 'pc.ram' of 0x400000 bytes, received offset 0x40",
        ),
        (header(normal=[0], zero=[0x400000]), "received offset 0x400000"),
        (header(normal=[2**64 - 4096]), "received offset 0xfffffffffffff000"),
        (header(normal=[0x3FF001]), "received offset 0x3ff001"),
        (header(normal=[0x1001]), "offsets aligned to 4096 bytes, received low bits 0x1"),
        (header(flags=DEVICE_STATE | SYNC), "DEVICE_STATE alone, received flags 0x41"),
        (device_state_header("", 0, 1), "a device name"),
        (device_state_header("vfio", 0, 0), "bytes of device state, received 0"),
        (device_state_header("vfio", 0, MAX_DEVICE_STATE + 1), "bytes of device state"),
    ],
)
def test_a_bad_packet_is_refused(raw: bytes | bytearray, sentence: str) -> None:
    error = refused(raw)
    assert error.startswith("multifd 3 packet 0: expected ")
    assert sentence in error


@pytest.mark.parametrize("raw", [b"\x11\x22\x33\x45" + bytes(60), b"\x11\x22\x33\x44" + bytes(60)])
def test_a_bad_initial_packet_is_refused(raw: bytes) -> None:
    assert refused(raw, MultifdParser()).startswith("multifd packet 0: expected m")


def test_a_method_may_not_change() -> None:
    parser = channel()
    send(parser, header())
    parser.payload_done()
    assert parser.method == "zlib"
    error = refused(header(flags=METHOD_FLAGS["zstd"]), parser)
    assert error == ("multifd 3 packet 1: expected method zlib as before, received method zstd")


def test_packets_without_pages_say_nothing_of_the_method() -> None:
    parser = channel()
    send(parser, ram_header(flags=SYNC))
    assert parser.method is None
    send(parser, header())
    parser.payload_done()
    send(parser, ram_header(flags=SYNC))
    assert parser.method == "zlib"


def test_pages_before_the_block_list_are_refused() -> None:
    assert "a RAM block of this guest" in refused(header(), MultifdParser(initial=False))


def test_another_page_size_is_noticed_at_the_first_pages() -> None:
    parser = MultifdParser(page_size=65536, initial=False)
    raw = header()
    assert "packets of 8 pages of 65536 bytes, received packets of 128" in refused(
        raw[: len(parser.want()) + 384], parser
    )


@pytest.mark.parametrize(
    ("filled", "received", "what"),
    [
        (b"", 3, "the rest of the prefix, received end of stream after 3 bytes"),
        (ram_header()[:276], 0, "the rest of the ram header, received end of stream after 0 bytes"),
        (header(), 10, "the rest of the payload, received end of stream after 10 bytes"),
    ],
)
def test_a_channel_may_not_end_inside_a_packet(filled: bytes, received: int, what: str) -> None:
    parser = channel()
    send(parser, filled)
    with pytest.raises(RemoteProtocolError, match=what):
        parser.ended(received)


def test_a_channel_may_end_between_packets() -> None:
    parser = channel()
    send(parser, ram_header(flags=SYNC))
    parser.ended(0)


def test_a_channel_that_ends_before_its_initial_packet_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="the rest of the initial"):
        MultifdParser().ended(0)


def test_every_state_is_left_and_reached() -> None:
    assert {state for state, _ in TRANSITIONS} == set(ChannelState)
    assert set(TRANSITIONS.values()) | {ChannelState.INITIAL} == set(ChannelState)
    assert {seen for _, seen in TRANSITIONS} == set(Seen)
