"""Whatever the pages, their number and size, every method gives them back, packet after packet."""

from __future__ import annotations

import gzip
import random
import struct
import zlib

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from codec_samples import EVERY_LEVEL, decoded, encoded, sample_pages
from ramferry.codec import MAX_PAYLOAD, METHODS, create_decoder, create_encoder
from ramferry.qatzip import Session
from ramferry.qatzip.exact import ExactInflater
from ramferry.vocabulary import MEMBER_SIZES, PACKET_BYTES

PAGE_SIZES = [1024 << shift for shift in range(7)]


@st.composite
def page_packets(draw: st.DrawFn, page_size: int, most: int = 12) -> bytes:
    """Draw one packet's pages: sample pages, slices of odd bytes repeated, or random data."""
    count = draw(st.integers(1, min(most, PACKET_BYTES // page_size)))
    kind = draw(st.integers(0, 2))
    if kind == 0:
        return sample_pages(count, page_size, draw(st.integers(0, 9)))
    if kind == 1:
        pattern = draw(st.binary(min_size=1, max_size=300))
        return (pattern * (count * page_size // len(pattern) + 1))[: count * page_size]
    return random.Random(draw(st.integers(0, 99))).randbytes(count * page_size)


@pytest.mark.parametrize("method", METHODS)
@given(data=st.data())
def test_packets_come_back(method: str, data: st.DataObject) -> None:
    page_size = data.draw(st.sampled_from(PAGE_SIZES))
    levels = METHODS[method].levels
    level = data.draw(st.sampled_from(list(levels))) if levels else None
    if method == "zstd":
        level = min(level or 0, 15)  # above, a context takes longer to make than the packets
    encoder = create_encoder(method, level, page_size=page_size)
    decoder = create_decoder(method, page_size=page_size)
    for pages in data.draw(st.lists(page_packets(page_size), min_size=1, max_size=5)):
        payload = encoded(encoder, pages)
        assert len(payload) <= decoder.max_payload(len(pages) // page_size)
        assert decoded(decoder, payload, len(pages)) == pages


@pytest.mark.parametrize(("method", "level"), EVERY_LEVEL)
def test_full_packets_come_back_at_every_level(method: str, level: int | None) -> None:
    encoder, decoder = create_encoder(method, level), create_decoder(method)
    for seed in range(2):
        pages = sample_pages(128, seed=seed)
        assert decoded(decoder, encoded(encoder, pages), len(pages)) == pages


@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("method", METHODS)
def test_full_packets_come_back_at_every_page_size(method: str, page_size: int) -> None:
    encoder = create_encoder(method, None, page_size=page_size)
    decoder = create_decoder(method, page_size=page_size)
    for seed in range(2):
        pages = sample_pages(PACKET_BYTES // page_size, page_size, seed)
        assert decoded(decoder, encoded(encoder, pages), len(pages)) == pages


def independent_zlib(payloads: list[bytes], _sizes: list[int]) -> bytes:
    return zlib.decompressobj().decompress(b"".join(payloads))


def independent_zstd(payloads: list[bytes], _sizes: list[int]) -> bytes:
    stream = zstandard.ZstdDecompressor().stream_reader(b"".join(payloads), read_across_frames=True)
    return stream.read()


def independent_qatzip(payloads: list[bytes], _sizes: list[int]) -> bytes:
    return b"".join(map(gzip.decompress, payloads))


def independent_pages(wbits: int, payloads: list[bytes], sizes: list[int]) -> bytes:
    pages = bytearray()
    for payload, size in zip(payloads, sizes, strict=True):
        count = size // 4096
        at = 4 * count
        for length in struct.unpack_from(f">{count}I", payload):
            page = payload[at : at + length]
            pages += page if length == 4096 else zlib.decompress(page, wbits)
            at += length
        assert at == len(payload)
    return bytes(pages)


INDEPENDENT = {
    "none": lambda payloads, _sizes: b"".join(payloads),
    "zlib": independent_zlib,
    "zstd": independent_zstd,
    "qatzip": independent_qatzip,
    "qpl": lambda payloads, sizes: independent_pages(-15, payloads, sizes),
    "uadk": lambda payloads, sizes: independent_pages(15, payloads, sizes),
}


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=20)
@given(packets=st.lists(page_packets(4096), min_size=1, max_size=5))
def test_independent_decoders_read_what_is_written(method: str, packets: list[bytes]) -> None:
    encoder = create_encoder(method, None)
    payloads = [encoded(encoder, pages) for pages in packets]
    assert INDEPENDENT[method](payloads, list(map(len, packets))) == b"".join(packets)


@pytest.mark.parametrize(("method", "level"), EVERY_LEVEL)
def test_incompressible_packets_stay_below_the_limit(method: str, level: int | None) -> None:
    pages = sample_pages(4, PACKET_BYTES)[3 * PACKET_BYTES :]
    encoder = create_encoder(method, level)
    for _ in range(2):
        payload = encoded(encoder, pages[-1:] + pages[:-1])
        assert len(payload) <= min(MAX_PAYLOAD, 1.002 * PACKET_BYTES)


@st.composite
def packets_with_noise(draw: st.DrawFn) -> bytes:
    """Draw one page to a full packet, some of them incompressible, in any order."""
    page = draw(st.sampled_from(PAGE_SIZES))
    noisy = st.sampled_from([True, False])
    kinds = draw(st.lists(noisy, min_size=1, max_size=min(6, PACKET_BYTES // page)))
    chance = random.Random(draw(st.integers(0, 99)))
    pages = [
        chance.randbytes(page) if one else chance.randbytes(16) * (page // 16) for one in kinds
    ]
    most = PACKET_BYTES // page
    count = draw(st.one_of(st.integers(1, most), st.just(most)))
    return b"".join((pages * (count // len(pages) + 1))[:count])


sizes_of_members = st.one_of(
    st.integers(1024, PACKET_BYTES), st.sampled_from([4096, 65536, PACKET_BYTES])
)


@given(packets_with_noise(), st.sampled_from([1, 3, 4, 9]), sizes_of_members)
def test_members_of_any_size_come_back_by_both_readers(
    pages: bytes, level: int, member_size: int
) -> None:
    payload = bytes(Session(level, member_size=member_size).compress(pages).data)
    out = bytearray(len(pages))
    assert ExactInflater().inflate(memoryview(payload), memoryview(out))
    assert out == pages
    assert Session().decompress(payload, max_size=len(pages)).data == pages


@given(packets_with_noise(), st.sampled_from(MEMBER_SIZES), st.integers(1, 9))
def test_a_packet_of_any_pages_stays_below_the_limit(
    pages: bytes, member_size: str, level: int
) -> None:
    payload = encoded(create_encoder("qatzip", level, member_size=member_size), pages)
    assert len(payload) <= min(MAX_PAYLOAD, 40 + 1.001 * len(pages))
    assert decoded(create_decoder("qatzip"), payload, len(pages)) == pages
