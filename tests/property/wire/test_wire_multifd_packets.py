"""Any bytes on a multifd channel give packets or an error that names channel and packet."""

from __future__ import annotations

import re
import struct

from hypothesis import given
from hypothesis import strategies as st

from ramferry.errors import RemoteProtocolError
from ramferry.vocabulary import METHOD_FLAGS
from ramferry.wire.channel_states import ChannelState
from ramferry.wire.multifd import DeviceState, MultifdParser, RamPacket
from ramferry.wire.packets import SYNC, Initial, header_size, ram_header

SENTENCE = re.compile(r"multifd 5 packet \d+: expected .+, received .+", re.DOTALL)
BLOCKS = {"pc.ram": 256 * 4096, "rom": 4096}
OFFSETS = st.integers(0, 255).map(lambda page: page * 4096)
FIELDS = st.lists(
    st.tuples(
        st.sampled_from([0, 4, 8, 12, 16, 20, 24, 28, 32, 64, 320, 324, 328]),
        st.sampled_from([0, 1, 3, 5, 6, 0x40, 128, 129, 4095, 4096, 2**31, 2**32 - 1]),
    ),
    max_size=3,
)


def run(data: bytes, *, initial: bool) -> list[Initial | RamPacket | DeviceState]:
    """Give the parser what it wants as long as there is, payloads included."""
    parser = MultifdParser(initial=initial)
    parser.channel = "multifd 5"
    parser.blocks = BLOCKS
    packets = []
    try:
        while True:
            piece = parser.want()
            if len(data) < len(piece):
                parser.ended(len(data))
                return packets
            piece[:], data = data[: len(piece)], data[len(piece) :]
            packet = parser.filled()
            if packet is not None:
                packets.append(packet)
            if parser.state is ChannelState.PAYLOAD:
                assert isinstance(packet, RamPacket | DeviceState)
                data = data[packet.payload_size :]
                parser.payload_done()
            if isinstance(packet, RamPacket):
                check(packet)
    except RemoteProtocolError as error:
        sentence = str(error)
    assert SENTENCE.fullmatch(sentence)
    return packets


def check(packet: RamPacket) -> None:
    """What the parser lets through can be used without another look."""
    assert packet.normal + packet.zero <= 128
    assert bool(packet.payload_size) == bool(packet.normal)
    if packet.normal + packet.zero:
        assert packet.method in METHOD_FLAGS
        offsets = struct.unpack_from(f">{packet.normal + packet.zero}Q", packet.header, 320)
        assert all(at % 4096 == 0 and at < BLOCKS[packet.block] for at in offsets)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes(data: bytes, initial: bool) -> None:
    run(data, initial=initial)


@given(
    st.sampled_from(sorted(METHOD_FLAGS.values())),
    st.lists(OFFSETS, max_size=40),
    st.lists(OFFSETS, max_size=40),
    FIELDS,
    st.integers(0, 1400),
)
def test_packets_with_damaged_fields(
    flags: int, normal: list[int], zero: list[int], fields: list[tuple[int, int]], size: int
) -> None:
    raw = ram_header(
        flags=flags, block="pc.ram", normal=normal, zero=zero, payload_size=len(normal)
    )
    for at, value in fields:
        struct.pack_into(">I", raw, at, value)
    run(bytes(raw)[:size], initial=False)
    run(bytes(raw) + bytes(len(normal)) + ram_header(flags=SYNC), initial=False)


@given(
    st.sampled_from(sorted(METHOD_FLAGS)),
    st.lists(OFFSETS, max_size=64),
    st.lists(OFFSETS, max_size=64),
    st.booleans(),
    st.integers(0, 2**64 - 1),
)
def test_what_we_write_is_read_back(
    method: str, normal: list[int], zero: list[int], sync: bool, number: int
) -> None:
    size = 17 * len(normal)
    raw = ram_header(
        flags=METHOD_FLAGS[method] | (SYNC if sync else 0),
        block="pc.ram",
        normal=normal,
        zero=zero,
        payload_size=size,
        packet_num=number,
    )
    (packet,) = run(bytes(raw) + bytes(size), initial=False)
    assert isinstance(packet, RamPacket)
    assert len(raw) == header_size(4096)
    assert (packet.normal, packet.zero, packet.payload_size) == (len(normal), len(zero), size)
    assert (packet.sync, packet.packet_num) == (sync, number)
    assert packet.method == method
    assert packet.block == ("pc.ram" if normal or zero else "")
