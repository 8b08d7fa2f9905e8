from __future__ import annotations

import tracemalloc
import zlib

import pytest

from codec_samples import PAGE, decoded, encoded, packets, sample_pages
from ramferry.codec.base import MAX_PAYLOAD
from ramferry.codec.zlib import HEADER, SYNC_MARK, ZlibDecoder, ZlibEncoder, ZlibPacketEncoder
from ramferry.errors import CorruptDataError
from ramferry.vocabulary import PACKET_BYTES

A_KIB, B_KIB = b"a" * 1024, b"b" * 1024
# What stdlib zlib writes at level 1 for the two, each with a sync flush.
FIRST = bytes.fromhex("78 01 4a 4c 1c 05 a3 21 30 1a 02 23 35 04 00 00 00 00 ff ff")
SECOND = bytes.fromhex("4a 1a 05 a3 21 30 1a 02 23 36 04 00 00 00 00 ff ff")


def test_level_0_literally() -> None:
    encoder = ZlibEncoder(0)
    stored, flush = bytes.fromhex("00 00 04 ff fb"), bytes.fromhex("00 00 00 ff ff")
    assert encoded(encoder, A_KIB) == b"\x78\x01" + stored + A_KIB + flush
    assert encoded(encoder, B_KIB) == stored + B_KIB + flush


def test_zlibs_own_bytes_are_read() -> None:
    decoder = ZlibDecoder()
    assert decoded(decoder, FIRST, 1024) == A_KIB
    assert decoded(decoder, SECOND, 1024) == B_KIB


@pytest.mark.parametrize("level", range(10))
def test_one_unfinished_stream_with_a_flush_after_each_packet(level: int) -> None:
    encoder, reader = ZlibEncoder(level), zlib.decompressobj()
    for index, pages in enumerate(packets(6)):
        payload = encoded(encoder, pages)
        assert payload.endswith(SYNC_MARK)
        header = zlib.compress(b"", level)[:2]
        assert payload.startswith(header) == (index == 0)
        assert reader.decompress(payload) == pages
    assert not reader.eof


def test_later_packets_look_back_into_earlier_ones() -> None:
    pages = sample_pages(8, seed=3)[3 * PAGE : 5 * PAGE]
    for level in range(1, 10):
        encoder = ZlibEncoder(level)
        first, again = encoded(encoder, pages), encoded(encoder, pages)
        assert len(again) < len(first) / 4, level


@pytest.mark.parametrize("level", range(10))
def test_each_level_keeps_zlibs_ratio(level: int) -> None:
    encoder, theirs = ZlibEncoder(level), zlib.compressobj(level)
    ours_size = theirs_size = 0
    for seed in range(4):
        pages = sample_pages(128, seed=seed)
        ours_size += len(encoded(encoder, pages))
        theirs_size += len(theirs.compress(pages) + theirs.flush(zlib.Z_SYNC_FLUSH))
    assert ours_size < 1.05 * theirs_size


def test_packets_that_never_look_back_are_read() -> None:
    decoder = ZlibDecoder()
    for index, pages in enumerate(packets(5)):
        lonely = zlib.compressobj(6, zlib.DEFLATED, -15)
        payload = lonely.compress(pages) + lonely.flush(zlib.Z_SYNC_FLUSH)
        header = b"" if index else b"\x78\x9c"
        assert decoded(decoder, header + payload, len(pages)) == pages


@pytest.mark.parametrize("flush", [zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH])
def test_a_flush_after_every_page_is_read(flush: int) -> None:
    decoder, writer, pages = ZlibDecoder(), zlib.compressobj(1), sample_pages(16)
    payload = b"".join(
        writer.compress(pages[at : at + PAGE]) + writer.flush(flush)
        for at in range(0, len(pages), PAGE)
    )
    assert decoded(decoder, payload, len(pages)) == pages


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "received nothing at its end"),
        (FIRST[:-1], "received 00 00 00 ff at its end"),
        (FIRST + b"\0", "received 00 ff ff 00 at its end"),
        (FIRST[:2] + SYNC_MARK, "expected 1024 bytes after inflating, received 0 bytes"),
        (b"\x79" + FIRST[1:], "expected a zlib header, received damaged data"),
        (FIRST[2:], "expected a zlib header, received damaged data"),
        (b"\x78\x20" + FIRST[2:], "without a preset dictionary, received one that needs it"),
        (b"\x88\x1c" + FIRST[2:], "expected a zlib header, received damaged data"),
        (FIRST[:2] + b"\x07" + SYNC_MARK, "expected deflate data, received damaged data"),
        (FIRST + SECOND, "expected 1024 bytes after inflating, received 1025 or more bytes"),
        (b"\x78\x01\0" + SYNC_MARK, "expected 1024 bytes after inflating, received 0 bytes"),
        (b"\x78\x01\1" + SYNC_MARK + b"\0\0\0\1" + SYNC_MARK, "received its last block"),
    ],
)
def test_what_is_refused(payload: bytes, message: str) -> None:
    with pytest.raises(CorruptDataError, match=message):
        decoded(ZlibDecoder(), payload, 1024)


def test_a_header_in_a_later_packet_is_refused() -> None:
    decoder = ZlibDecoder()
    decoded(decoder, FIRST, 1024)
    with pytest.raises(CorruptDataError):
        decoded(decoder, FIRST, 1024)


def test_a_stream_that_ends_is_refused() -> None:
    pages = sample_pages(4)
    payload = zlib.compress(pages)
    for tail in (b"", SYNC_MARK):
        with pytest.raises(CorruptDataError):
            decoded(ZlibDecoder(), payload + tail, len(pages))


def test_a_bomb_is_stopped_at_the_size_that_was_promised() -> None:
    writer = zlib.compressobj(1)
    header = writer.compress(b"") + writer.flush(zlib.Z_SYNC_FLUSH)
    mib = writer.compress(bytes(1 << 20)) + writer.flush(zlib.Z_FULL_FLUSH)
    bomb = header + mib * ((MAX_PAYLOAD - len(header)) // len(mib))  # about 220 MiB
    assert len(bomb) > MAX_PAYLOAD - len(mib)
    decoder, out = ZlibDecoder(), memoryview(bytearray(PACKET_BYTES))
    tracemalloc.start()
    try:
        with pytest.raises(CorruptDataError, match="received 524289 or more bytes"):
            decoder.decode(memoryview(bomb), out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * PACKET_BYTES


def test_the_callers_buffers_are_free_afterwards() -> None:
    decoder, payload, out = ZlibDecoder(), bytearray(FIRST), bytearray(1024)
    decoder.decode(memoryview(payload), memoryview(out))
    payload.clear()  # BufferError while anything still points into it
    out.clear()
    assert decoded(decoder, SECOND, 1024) == B_KIB


def test_packets_of_any_levels_in_any_order_are_one_stream() -> None:
    encoders, reader = [ZlibPacketEncoder(level) for level in range(10)], zlib.decompressobj()
    assert reader.decompress(HEADER) == b""
    for index, pages in enumerate(packets(60)):
        payload = encoded(encoders[index * 7 % 10], pages)
        assert payload.endswith(SYNC_MARK)
        assert reader.decompress(payload) == pages
    assert not reader.eof


@pytest.mark.parametrize("level", range(10))
def test_a_packet_of_its_own_refers_to_nothing(level: int) -> None:
    encoder, pages = ZlibPacketEncoder(level), sample_pages(8, seed=3)
    first, again = encoded(encoder, pages), encoded(encoder, pages)
    assert zlib.decompressobj(-15).decompress(again) == pages
    assert len(again) == len(first)
    assert encoder.backend == ZlibEncoder(level).backend
