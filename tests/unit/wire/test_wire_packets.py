"""multifd packets as bytes, both ways."""

from __future__ import annotations

import struct

import pytest

from fakes_wire import device_state_header
from ramferry.errors import UsageError
from ramferry.vocabulary import METHOD_FLAGS
from ramferry.wire.multifd import DeviceState, MultifdParser, RamPacket, parse_initial
from ramferry.wire.packets import (
    DEVICE_STATE,
    METHOD_MASK,
    SYNC,
    Initial,
    header_size,
    ram_header,
)

INITIAL = bytes.fromhex("11223344 00000001 123456781234123412341234 56789abc 03" + "00" * 39)
SYNC_PACKET = bytes.fromhex("11223344 00000001 00000001" + "00" * 1332)
RAM_PACKET = bytes.fromhex(
    "11223344 00000001 00000004"  # zstd
    "00000080 00000002 00000063 0000000000000007 00000001"
    + "00" * 28
    + "70632e72616d"
    + "00" * 250
    + "0000000000001000 0000000000003000 0000000000002000"
    + "00" * 1000
)
DEVICE_PACKET = bytes.fromhex(
    "11223344 00000001 00000040 303a312e302f7666696f" + "00" * 246 + "00000005 00100000"
)


def parsed(raw: bytes, *, page_size: int = 4096) -> RamPacket | DeviceState:
    """The packet whose header is ``raw``, on a channel behind its initial packet."""
    parser = MultifdParser(page_size=page_size, initial=False)
    parser.blocks = {"pc.ram": 0x400000}
    packet = None
    while raw:
        piece = parser.want()
        assert packet is None
        piece[:], raw = raw[: len(piece)], raw[len(piece) :]
        packet = parser.filled()
    assert isinstance(packet, RamPacket | DeviceState)
    return packet


def test_initial_packet() -> None:
    uuid = bytes.fromhex("12345678123412341234123456789abc")
    assert Initial(uuid, 3).encode() == INITIAL
    assert parse_initial(INITIAL) == Initial(uuid, 3)
    assert len(INITIAL) == 64


def test_ram_packet() -> None:
    raw = ram_header(
        flags=METHOD_FLAGS["zstd"],
        block="pc.ram",
        normal=[0x1000, 0x3000],
        zero=[0x2000],
        payload_size=99,
        packet_num=7,
    )
    assert raw == RAM_PACKET
    packet = parsed(RAM_PACKET)
    assert isinstance(packet, RamPacket)
    assert (packet.flags, packet.normal, packet.zero) == (4, 2, 1)
    assert (packet.payload_size, packet.packet_num, packet.block) == (99, 7, "pc.ram")
    assert (packet.sync, packet.method, bytes(packet.header)) == (False, "zstd", RAM_PACKET)


def test_sync_packet() -> None:
    assert ram_header(flags=SYNC) == SYNC_PACKET
    packet = parsed(SYNC_PACKET)
    assert isinstance(packet, RamPacket)
    assert packet.sync
    assert (packet.normal, packet.zero, packet.payload_size, packet.block) == (0, 0, 0, "")


def test_device_state_packet() -> None:
    assert device_state_header("0:1.0/vfio", 5, 0x100000) == DEVICE_PACKET
    packet = parsed(DEVICE_PACKET)
    assert isinstance(packet, DeviceState)
    assert (packet.idstr, packet.instance_id, packet.payload_size) == ("0:1.0/vfio", 5, 0x100000)


@pytest.mark.parametrize("method", METHOD_FLAGS)
def test_rewriting_changes_method_and_size_and_nothing_else(method: str) -> None:
    packet = parsed(RAM_PACKET)
    assert isinstance(packet, RamPacket)
    packet.rewrite(method, 12345)
    expected = bytearray(RAM_PACKET)
    expected[8:12] = struct.pack(">I", METHOD_FLAGS[method])
    expected[20:24] = struct.pack(">I", 12345)
    assert bytes(packet.header) == expected


def test_rewriting_leaves_the_sync_flag() -> None:
    packet = parsed(RAM_PACKET[:11] + b"\x05" + RAM_PACKET[12:])
    assert isinstance(packet, RamPacket)
    packet.rewrite("qatzip", 1)
    assert packet.header[8:12] == bytes.fromhex("00000021")


@pytest.mark.parametrize(
    ("page_size", "size"), [(1024, 4416), (4096, 1344), (8192, 832), (16384, 576), (65536, 384)]
)
def test_header_size(page_size: int, size: int) -> None:
    assert header_size(page_size) == size
    assert len(ram_header(page_size=page_size, flags=SYNC)) == size


def test_a_packet_holds_512_kib_of_pages() -> None:
    assert struct.unpack_from(">I", ram_header(block="a", normal=range(128)), 12) == (128,)
    with pytest.raises(UsageError, match="a packet holds 128 pages, not 129"):
        ram_header(block="a", normal=range(128), zero=[0])


def test_every_method_has_a_bit_of_its_own() -> None:
    assert sorted(METHOD_FLAGS.values()) == [0, 2, 4, 8, 16, 32]
    assert sum(METHOD_FLAGS.values()) == METHOD_MASK
    assert not METHOD_MASK & (SYNC | DEVICE_STATE)
