"""The bytes that the writers send are what the house's own parsers take for a migration."""

from __future__ import annotations

import pytest

from ramferry.bench.ceiling import stream
from ramferry.codec import create_decoder
from ramferry.errors import UsageError
from ramferry.vocabulary import OFF, PACKET_BYTES
from ramferry.wire.events import BlockList, EndOfStream, SyncMark
from ramferry.wire.main import MainParser
from ramferry.wire.multifd import MultifdParser, RamPacket
from ramferry.wire.packets import Initial


def test_main_has_three_marks_and_an_end() -> None:
    parser = MainParser()
    opening = parser.feed(stream.main_opening())
    rest = parser.feed(stream.main_rest())
    parser.eof()
    assert [event.index for event in opening if isinstance(event, SyncMark)] == [0]
    assert [event.index for event in rest if isinstance(event, SyncMark)] == [1, 2]
    assert any(isinstance(event, BlockList) for event in opening)
    assert isinstance(rest[-1], EndOfStream)


def parsed(data: bytes) -> list[Initial | RamPacket]:
    """What a channel's bytes say; payloads are passed over."""
    parser = MultifdParser()
    parser.blocks = {"pc.ram": 1 << 30}
    found: list[Initial | RamPacket] = []
    while data:
        piece = parser.want()
        piece[:] = data[: len(piece)]
        data = data[len(piece) :]
        packet = parser.filled()
        if packet is None:
            continue
        assert isinstance(packet, Initial | RamPacket)
        found.append(packet)
        if isinstance(packet, RamPacket) and packet.normal:
            data = data[packet.payload_size :]
            parser.payload_done()
    return found


@pytest.mark.parametrize(
    ("method", "size"), [("none", PACKET_BYTES), ("qatzip", PACKET_BYTES // 3)]
)
def test_a_channel_has_full_packets_and_three_syncs(method: str, size: int) -> None:
    header, payload = stream.packet(method, own_codecs=False)
    assert len(payload) == stream.payload_size(method) == size
    initial, first, *packets, last, end = parsed(
        stream.channel_opening(5) + 2 * (header + payload) + stream.channel_end()
    )
    assert isinstance(initial, Initial)
    assert initial.channel_id == 5
    seen = [(one.normal, one.method, one.payload_size, one.sync) for one in packets]  # type: ignore[union-attr]
    assert seen == [(128, method, size, False)] * 2
    assert all(
        isinstance(one, RamPacket) and one.sync and not one.normal for one in (first, last, end)
    )


@pytest.mark.parametrize("method", ["zstd", "qpl", "uadk", "qatzip"])
def test_pages_are_compressed_by_the_methods_own_codec(method: str) -> None:
    header, payload = stream.packet(method, own_codecs=True)
    (packet,) = parsed(stream.channel_opening(0) + header + payload)[2:]
    assert isinstance(packet, RamPacket)
    assert packet.payload_size == len(payload) < PACKET_BYTES
    pages = memoryview(bytearray(PACKET_BYTES))
    decoder = create_decoder(method, accelerator=OFF)
    for _ in range(2):  # the same packet may come again
        decoder.decode(memoryview(payload), pages)
    assert any(pages)


def test_a_packet_that_goes_on_from_another_cannot_come_again() -> None:
    with pytest.raises(UsageError, match="a packet of zlib goes on from the one before"):
        stream.packet("zlib", own_codecs=True)
