from __future__ import annotations

import pytest
import zstandard

from codec_samples import sample_pages
from ramferry.codec.zstd_frame import MAX_BLOCKS, BlockWalk, raw_frame
from ramferry.errors import CorruptDataError
from ramferry.vocabulary import PACKET_BYTES

HEADER = bytes.fromhex("28 b5 2f fd 00 48")
WITH_CHECKSUM = bytes.fromhex("28 b5 2f fd 04 48")
RAW_2, RLE, LAST_RAW_1 = b"\x10\0\0ab", b"\x02\x20\0a", b"\x09\0\0c"


@pytest.mark.parametrize(
    "packets",
    [
        [HEADER + RAW_2, RAW_2 + RLE, RLE],
        [HEADER + LAST_RAW_1, HEADER + LAST_RAW_1],
        [HEADER + LAST_RAW_1 + HEADER + RLE, LAST_RAW_1 + HEADER],
        [WITH_CHECKSUM + LAST_RAW_1 + b"sum4", WITH_CHECKSUM + RLE, LAST_RAW_1 + b"sum4" + HEADER],
        [HEADER],
    ],
)
def test_packets_that_end_where_a_block_ends(packets: list[bytes]) -> None:
    walk = BlockWalk()
    for packet in packets:
        walk.check(memoryview(packet))


@pytest.mark.parametrize(
    "packets",
    [
        [b""],
        [HEADER[:4]],
        [HEADER[:5]],
        [RAW_2],
        [HEADER + RAW_2[:4]],
        [HEADER + RAW_2[:2]],
        [HEADER + RAW_2 + b"\0"],
        [HEADER + LAST_RAW_1, RAW_2],
        [HEADER + RAW_2, HEADER + RAW_2],
        [WITH_CHECKSUM + LAST_RAW_1],
        [WITH_CHECKSUM + LAST_RAW_1 + b"sum"],
        [HEADER + LAST_RAW_1 + b"sum4"],
    ],
)
def test_packets_that_do_not(packets: list[bytes]) -> None:
    walk = BlockWalk()
    for packet in packets[:-1]:
        walk.check(memoryview(packet))
    with pytest.raises(CorruptDataError):
        walk.check(memoryview(packets[-1]))


def test_the_walk_is_bounded() -> None:
    BlockWalk().check(memoryview(HEADER + RLE * MAX_BLOCKS))
    with pytest.raises(CorruptDataError, match=f"at most {MAX_BLOCKS} whole blocks"):
        BlockWalk().check(memoryview(HEADER + RLE * (MAX_BLOCKS + 1)))


def test_every_cut_of_a_real_frame_is_noticed() -> None:
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(sample_pages(2, 1024))
    whole = []
    for end in range(1, len(frame) + 1):
        try:
            BlockWalk().check(memoryview(frame[:end]))
        except CorruptDataError:
            continue
        whole.append(end)
    assert whole == [zstandard.frame_header_size(frame), len(frame)]


def test_a_frame_of_uncompressed_blocks_literally() -> None:
    content = memoryview(b"abc")
    parts = raw_frame(content)
    assert b"".join(parts) == bytes.fromhex("28 b5 2f fd a0 03 00 00 00 19 00 00") + b"abc"
    assert isinstance(parts[-1], memoryview)
    assert parts[-1].obj is content.obj


@pytest.mark.parametrize("size", [1024, 4096, 131072, 131073, PACKET_BYTES])
def test_a_frame_of_uncompressed_blocks_is_read_by_the_library(size: int) -> None:
    content = sample_pages(size // 1024 + 1, 1024, 3)[:size]
    frame = b"".join(raw_frame(memoryview(content)))
    assert len(frame) <= size + 9 + 3 * (size // 131072 + 1)
    assert zstandard.decompress(frame) == content
    walk = BlockWalk()
    walk.check(memoryview(frame))
    walk.check(memoryview(frame))
