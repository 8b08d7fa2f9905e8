"""Pages as they are in each method's own form, byte by byte, and as other decoders read them."""

from __future__ import annotations

import gzip
import io
import zlib

import pytest
import zstandard

from codec_samples import sample_pages
from ramferry.codec import create_decoder
from ramferry.codec.base import MAX_PAYLOAD
from ramferry.codec.stored import stored
from ramferry.codec.zlib import HEADER
from ramferry.errors import UsageError
from ramferry.vocabulary import AUTO, ONE_MEMBER, PACKET_BYTES

KIB = b"a" * 1024
CRC = zlib.crc32(KIB).to_bytes(4, "little")


def joined(method: str, pages: bytes, members: str = AUTO) -> bytes:
    return b"".join(stored(method, memoryview(pages), members))


@pytest.mark.parametrize(
    ("method", "payload"),
    [
        ("zstd", bytes.fromhex("28b52ffd a0 00040000 012000") + KIB),
        ("zlib", bytes.fromhex("00 0004 fffb") + KIB + bytes.fromhex("00 0000 ffff")),
        (
            "qatzip",
            bytes.fromhex("1f8b0804 00000000 00ff 0c00 515a 0800 00040000 05040000")
            + bytes.fromhex("01 0004 fffb")
            + KIB
            + CRC
            + bytes.fromhex("00040000"),
        ),
    ],
)
def test_literally(method: str, payload: bytes) -> None:
    assert joined(method, KIB) == payload


def test_a_packet_in_blocks_of_64_kib_less_one() -> None:
    pages = sample_pages(128)
    payload = joined("zlib", pages)
    assert payload[:5] == bytes.fromhex("00 ffff 0000")
    assert payload[5 + 65535 :][:5] == bytes.fromhex("00 ffff 0000")
    assert zlib.decompressobj().decompress(HEADER + payload) == pages
    assert len(payload) <= len(pages) + 50


@pytest.mark.parametrize(("members", "count"), [("64K", 8), (AUTO, 8), (ONE_MEMBER, 1)])
def test_members_are_as_large_as_they_are_wanted(members: str, count: int) -> None:
    pages = sample_pages(128)
    payload = joined("qatzip", pages, members)
    assert payload.count(b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x0c\0QZ") == count
    assert gzip.decompress(payload) == pages


def test_a_zstd_frame_that_others_read() -> None:
    pages = sample_pages(128)
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(joined("zstd", pages))) as reader:
        assert reader.read() == pages


@pytest.mark.parametrize("method", ["zstd", "zlib", "qatzip"])
@pytest.mark.parametrize("count", [1, 17, 128])
def test_ramferrys_decoders_read_them_and_no_page_is_copied(method: str, count: int) -> None:
    pages = memoryview(bytearray(sample_pages(count)))
    parts = stored(method, pages, AUTO)
    views = [one for one in parts if isinstance(one, memoryview)]
    assert all(one.obj is pages.obj for one in views)
    assert sum(map(len, views)) == len(pages)
    payload = (HEADER if method == "zlib" else b"") + b"".join(parts)
    assert len(payload) <= MAX_PAYLOAD
    out = memoryview(bytearray(len(pages)))
    create_decoder(method).decode(memoryview(payload), out)
    assert out == pages
    assert len(pages) <= PACKET_BYTES


def test_a_method_without_such_a_form() -> None:
    with pytest.raises(UsageError, match="method qpl has no form"):
        stored("qpl", memoryview(KIB), AUTO)
