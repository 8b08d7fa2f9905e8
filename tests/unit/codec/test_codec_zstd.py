from __future__ import annotations

import resource

import pytest
import zstandard

from codec_samples import PAGE, decoded, encoded, packets, sample_pages
from ramferry.codec.zstd import FRAME_LEVELS, ZstdDecoder, ZstdEncoder, ZstdFrameEncoder
from ramferry.errors import CorruptDataError
from ramferry.vocabulary import PACKET_BYTES

MAGIC = bytes.fromhex("28 b5 2f fd")
A_KIB, B_KIB = b"a" * 1024, b"b" * 1024
# Frame header (no content size, no checksum), window descriptor, one RLE block of 1024 bytes.
FIRST = MAGIC + bytes.fromhex("00 48 02 20 00") + b"a"
SECOND = bytes.fromhex("02 20 00") + b"b"
EMPTY_LAST_BLOCK = b"\1\0\0"


def test_an_rle_block_literally() -> None:
    encoder = ZstdEncoder(3)
    assert encoded(encoder, A_KIB).startswith(FIRST[:5])
    assert encoded(encoder, B_KIB) == SECOND


def test_frame_headers_literally() -> None:
    """One segment, whose 1024 bytes are told less 256."""
    encoder = ZstdEncoder(1)
    for pages in (A_KIB, B_KIB):
        assert encoded(encoder, pages).startswith(MAGIC + bytes.fromhex("60 0003"))


def test_literal_packets_are_read() -> None:
    decoder = ZstdDecoder()
    assert decoded(decoder, FIRST, 1024) == A_KIB
    assert decoded(decoder, SECOND, 1024) == B_KIB
    assert decoded(decoder, SECOND + EMPTY_LAST_BLOCK, 1024) == B_KIB
    assert decoded(decoder, FIRST, 1024) == A_KIB


@pytest.mark.parametrize("level", sorted(FRAME_LEVELS))
def test_one_frame_a_packet(level: int) -> None:
    encoder = ZstdEncoder(level)
    for pages in packets(4):
        payload = encoded(encoder, pages)
        frame = zstandard.get_frame_parameters(payload)
        assert (frame.content_size, frame.has_checksum) == (len(pages), False)
        reader = zstandard.ZstdDecompressor().decompressobj()
        assert reader.decompress(payload) == pages
        assert (reader.eof, reader.unused_data) == (True, b"")
        assert encoded(ZstdEncoder(level), pages) == payload


@pytest.mark.parametrize("level", sorted({*range(21)} - FRAME_LEVELS))
def test_one_unended_frame_flushed_after_each_packet(level: int) -> None:
    encoder, reader = ZstdEncoder(level), zstandard.ZstdDecompressor().decompressobj()
    for index, pages in enumerate(packets(4)):
        payload = encoded(encoder, pages)
        assert payload.startswith(MAGIC) == (index == 0)
        if index == 0:
            frame = zstandard.get_frame_parameters(payload)
            assert frame.content_size == zstandard.CONTENTSIZE_UNKNOWN
            assert not frame.has_checksum
            assert frame.window_size <= 32 << 20
        assert reader.decompress(payload) == pages
    assert not reader.eof


def test_level_0_is_zstds_default() -> None:
    pages = sample_pages(128)
    assert encoded(ZstdEncoder(0), pages) == encoded(ZstdEncoder(3), pages)
    assert encoded(ZstdEncoder(0), pages) != encoded(ZstdEncoder(1), pages)


def test_later_packets_look_back_into_earlier_ones() -> None:
    encoder, pages = ZstdEncoder(3), sample_pages(16)
    assert len(encoded(encoder, pages)) > 10 * len(encoded(encoder, pages))


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("size_known", [False, True])
def test_complete_frames_are_read(checksum: bool, size_known: bool) -> None:
    writer = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=size_known)
    decoder = ZstdDecoder()
    for pages in packets(4):
        assert decoded(decoder, writer.compress(pages), len(pages)) == pages
    pages = sample_pages(8)
    frame_a_page = b"".join(
        writer.compress(pages[at : at + PAGE]) for at in range(0, len(pages), PAGE)
    )
    assert decoded(decoder, frame_a_page, len(pages)) == pages


def test_a_frame_may_end_in_any_packet() -> None:
    decoder, writer = ZstdDecoder(), zstandard.ZstdCompressor(write_checksum=True)
    for ends in (2, 1, 3):
        stream = writer.compressobj()
        for index, pages in enumerate(packets(ends)):
            last = index == ends - 1
            mode = zstandard.COMPRESSOBJ_FLUSH_FINISH if last else zstandard.COMPRESSOBJ_FLUSH_BLOCK
            payload = stream.compress(pages) + stream.flush(mode)
            assert decoded(decoder, payload, len(pages)) == pages


def test_a_wrong_checksum_is_refused() -> None:
    frame = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(A_KIB))
    frame[-1] ^= 1
    with pytest.raises(CorruptDataError, match="checksum"):
        decoded(ZstdDecoder(), frame, 1024)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (FIRST[:-1], "whole blocks, received 9 bytes, and block 1 ends or begins at byte 10"),
        (FIRST + b"\0", "whole blocks, received 11 bytes, and block 1 ends or begins at byte 10"),
        (b"\x29" + FIRST[1:], "expected a zstd frame header, received 29 b5 2f fd"),
        (FIRST + SECOND, "expected 1024 bytes after inflating, received more"),
        (FIRST + EMPTY_LAST_BLOCK + FIRST, "expected 1024 bytes after inflating, received more"),
        (FIRST + SECOND + EMPTY_LAST_BLOCK, "expected 1024 bytes after inflating, received more"),
        (FIRST[:6] + EMPTY_LAST_BLOCK, "expected 1024 bytes after inflating, received fewer"),
        (FIRST[:6] + b"\x06\0\0", "expected zstd blocks, received damaged data"),
    ],
)
def test_what_is_refused(payload: bytes, message: str) -> None:
    with pytest.raises(CorruptDataError, match=message):
        decoded(ZstdDecoder(), payload, 1024)


def test_a_window_of_128_mib_is_the_largest() -> None:
    exponent = {size: bytes([(size.bit_length() - 1 - 10) << 3]) for size in (1 << 27, 1 << 28)}
    largest, larger = (MAGIC + b"\0" + exponent[size] + FIRST[6:] for size in exponent)
    assert decoded(ZstdDecoder(), largest, 1024) == A_KIB
    with pytest.raises(CorruptDataError, match="too much memory"):
        decoded(ZstdDecoder(), larger, 1024)


def test_a_bomb_is_stopped_at_the_size_that_was_promised() -> None:
    block = (128 * 1024 << 3 | 2).to_bytes(3, "little") + b"a"
    bomb = FIRST[:6] + block * 4000  # 500 MiB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorruptDataError, match="expected 524288 bytes after inflating, received m"):
        decoded(ZstdDecoder(), bomb, PACKET_BYTES)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024  # KiB


def test_after_damage_the_decoder_stays_shut() -> None:
    decoder = ZstdDecoder()
    with pytest.raises(CorruptDataError):
        decoded(decoder, FIRST + SECOND, 1024)
    with pytest.raises(CorruptDataError, match="received a packet after a damaged one"):
        decoded(decoder, SECOND, 1024)


@pytest.mark.parametrize("payload", [FIRST, FIRST + SECOND, FIRST[:6] + b"\x06\0\0"])
def test_the_callers_buffers_are_free_afterwards(payload: bytes) -> None:
    decoder, received, out = ZstdDecoder(), bytearray(payload), bytearray(1024)
    with memoryview(received) as source, memoryview(out) as target:
        try:
            decoder.decode(source, target)
        except CorruptDataError:
            assert payload != FIRST
    received.clear()  # BufferError while anything still points into it
    out.clear()


@pytest.mark.parametrize("level", [0, 1, 3, 20])
def test_a_frame_for_each_packet_needs_nothing_before_it(level: int) -> None:
    encoder, decoder = ZstdFrameEncoder(level), ZstdDecoder()
    frames = [(encoded(encoder, pages), pages) for pages in packets(4)]
    for frame, pages in reversed(frames):
        assert zstandard.decompress(frame) == pages
        assert decoded(decoder, frame, len(pages)) == pages
