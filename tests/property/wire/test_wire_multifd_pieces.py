"""However a channel's bytes come in, the parser makes the same packets of them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from ramferry.errors import RemoteProtocolError
from ramferry.vocabulary import METHOD_FLAGS, PACKET_BYTES
from ramferry.wire.channel_states import ChannelState
from ramferry.wire.multifd import DeviceState, MultifdParser, RamPacket
from ramferry.wire.packets import (
    DEVICE_STATE,
    DEVICE_STATE_LAYOUT,
    MAGIC,
    SYNC,
    VERSION,
    header_size,
    ram_header,
)

SIZES = st.sampled_from([4096, 65536])
FIXED = [1, 2, 275, 276, 277, 1067, 1068, 1069, 1343, 1344, 1345, 1620]
"""Sizes of a device's state at which what comes with its header ends in the next one."""


@dataclass(frozen=True)
class Read:
    """One packet as it was read, with its payload."""

    header: bytes
    payload: bytes


def device(size: int) -> bytes:
    head = DEVICE_STATE_LAYOUT.pack(MAGIC, VERSION, DEVICE_STATE, b"vfio", 7, size)
    return head + bytes(at * 7 % 251 for at in range(size))


@st.composite
def ram(draw: st.DrawFn, page_size: int) -> bytes:
    """A RAM packet with or without payload, or a SYNC alone."""
    most = PACKET_BYTES // page_size
    normal = draw(st.lists(st.integers(0, 255), max_size=min(most, 6)))
    zero = draw(st.lists(st.integers(0, 255), max_size=min(most - len(normal), 2)))
    sync = SYNC if draw(st.booleans()) else 0
    size = draw(st.integers(1, 2000)) if normal else 0
    raw = ram_header(
        page_size=page_size,
        flags=sync | METHOD_FLAGS["zlib"],
        block="pc.ram" if normal or zero else "",
        normal=[at * page_size for at in normal],
        zero=[at * page_size for at in zero],
        payload_size=size,
        packet_num=draw(st.integers(0, 9)),
    )
    return bytes(raw) + bytes(at * 11 % 249 for at in range(size))


@st.composite
def streams(draw: st.DrawFn) -> tuple[int, bytes]:
    """A page size and a channel's bytes behind its initial packet."""
    page_size = draw(SIZES)
    devices = st.one_of(st.sampled_from(FIXED), st.integers(1, 3000)).map(device)
    packets = st.lists(st.one_of(devices, ram(page_size)), max_size=8)
    return page_size, b"".join(draw(packets))


def read(
    page_size: int, data: bytes, count: Callable[[int, int], int] | None
) -> tuple[list[Read], str]:
    """Read a whole channel; its packets, and why it ended early.

    :param count: bytes that come at once, of at least so many and at most so many; None: the
        header's pieces, one by one, as ``want`` has them.
    """
    parser = MultifdParser(page_size=page_size, initial=False)
    parser.blocks = {"pc.ram": 256 * page_size}
    found: list[Read] = []
    at = 0
    try:
        while True:
            if parser.state is ChannelState.PAYLOAD and count is None:
                parser.payload_done()
            least, space = parser.least, parser.want() if count is None else parser.space
            if least > len(data) - at:
                if parser.state is ChannelState.PAYLOAD:
                    parser.payload_done()
                parser.ended(len(data) - at)
                return found, ""
            size = least if count is None else count(least, min(len(space), len(data) - at))
            space[:size] = data[at : at + size]
            at += size
            packet = parser.filled(None if count is None else size)
            if packet is None:
                continue
            assert isinstance(packet, RamPacket | DeviceState)
            header = bytes(packet.header)
            begun = bytes(packet.begun) if isinstance(packet, DeviceState) else b""
            left = packet.payload_size - len(begun)
            payload = begun + data[at : at + left]
            if len(payload) < packet.payload_size:
                parser.ended(len(payload))
            at += left
            found.append(Read(header, payload))
            if isinstance(packet, DeviceState):
                parser.payload_done()
    except RemoteProtocolError as error:
        return found, str(error)


@given(streams(), st.data())
def test_pieces_of_any_size_make_the_same_packets(
    stream: tuple[int, bytes], data: st.DataObject
) -> None:
    page_size, raw = stream
    packets, why = read(page_size, raw, None)
    assert why == ""
    assert b"".join(one.header + one.payload for one in packets) == raw
    assert read(page_size, raw, lambda _, most: most) == (packets, "")
    drawn = read(page_size, raw, lambda least, most: data.draw(st.integers(least, most)))
    assert drawn == (packets, "")


@given(streams(), st.data())
def test_damage_is_the_same_error_however_it_comes(
    stream: tuple[int, bytes], data: st.DataObject
) -> None:
    page_size, raw = stream
    damaged = bytearray(raw)
    for at in data.draw(st.lists(st.integers(0, max(len(raw) - 1, 0)), min_size=1, max_size=3)):
        if raw:
            damaged[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0xFF]))
    cut = bytes(damaged[: data.draw(st.integers(0, len(raw)))])
    expected = read(page_size, cut, None)
    assert read(page_size, cut, lambda _, most: most) == expected
    drawn = read(page_size, cut, lambda least, most: data.draw(st.integers(least, most)))
    assert drawn == expected


@given(SIZES, st.integers(1, 3000), st.integers(1, 3000))
def test_what_was_lent_ends_in_the_buffer(page_size: int, one: int, other: int) -> None:
    """No piece may be larger than a RAM packet's header."""
    raw = device(one) + device(other) + bytes(ram_header(page_size=page_size, flags=SYNC))
    seen: list[int] = []

    def count(least: int, most: int) -> int:
        assert least >= 0
        seen.append(most)
        return max(least, most)

    packets, why = read(page_size, raw, count)
    assert (len(packets), why) == (3, "")
    assert max(seen) <= header_size(page_size)
    assert struct.unpack_from(">I", packets[2].header, 8)[0] & SYNC
