"""``qpl`` and ``uadk``: lengths, then pages."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest

from codec_samples import PAGE, decoded, encoded, sample_pages
from ramferry.codec import create_decoder, create_encoder
from ramferry.errors import CorruptDataError

A_KIB = b"a" * 1024
RANDOM_KIB = sample_pages(4, 1024)[3072:]
# 1024 times "a" as stdlib zlib level 9 writes it: raw deflate, and the same in zlib format.
A_DEFLATE = bytes.fromhex("4b 4c 1c 05 a3 60 14 8c 54 00 00")
A_PAGE = {"qpl": A_DEFLATE, "uadk": b"\x78\xda" + A_DEFLATE + bytes.fromhex("f3 78 84 10")}
WBITS = {"qpl": -15, "uadk": 15}
both = pytest.mark.parametrize("method", ["qpl", "uadk"])


@both
def test_literal_payloads_are_read(method: str) -> None:
    page = A_PAGE[method]
    lengths = bytes([0, 0, 0, len(page), 0, 0, 4, 0, 0, 0, 0, len(page)])
    payload = lengths + page + RANDOM_KIB + page
    decoder = create_decoder(method, page_size=1024)
    assert decoded(decoder, payload, 3072) == A_KIB + RANDOM_KIB + A_KIB


@both
def test_an_incompressible_page_literally(method: str) -> None:
    encoder = create_encoder(method, None, page_size=1024)
    assert encoded(encoder, RANDOM_KIB) == b"\0\0\4\0" + RANDOM_KIB


@both
def test_raw_pages_are_parts_of_the_callers_pages(method: str) -> None:
    pages = bytearray(sample_pages(4, 1024))
    parts = create_encoder(method, None, page_size=1024).encode(memoryview(pages))
    assert len(parts) == 5
    assert isinstance(parts[4], memoryview)
    assert parts[4].obj is pages


@both
@pytest.mark.parametrize("page_size", [1024, 4096, 16384, 65536])
def test_every_page_is_one_stream_of_its_own(method: str, page_size: int) -> None:
    pages = sample_pages(8, page_size)
    payload = encoded(create_encoder(method, None, page_size=page_size), pages)
    at = 8 * 4
    raw = 0
    for page, length in enumerate(struct.unpack(">8I", payload[:at])):
        expected = pages[page * page_size : (page + 1) * page_size]
        part = payload[at : at + length]
        if length == page_size:
            assert part == expected
            raw += 1
        else:
            assert length < page_size
            inflater = zlib.decompressobj(WBITS[method])
            assert inflater.decompress(part) == expected
            assert inflater.eof
            assert not inflater.unused_data
        at += length
    assert at == len(payload)
    assert raw == 2


def payload_of(*pages: bytes) -> bytes:
    return struct.pack(f">{len(pages)}I", *map(len, pages)) + b"".join(pages)


@both
def test_what_is_refused(method: str) -> None:
    page = A_PAGE[method]
    other = A_PAGE["uadk" if method == "qpl" else "qpl"]
    longer = zlib.compressobj(9, zlib.DEFLATED, WBITS[method])
    too_long = longer.compress(A_KIB + b"a") + longer.flush()
    cases = {
        b"": "expected 2 page lengths, received 0 bytes",
        payload_of(page, page)[:7]: "expected 2 page lengths, received 7 bytes",
        payload_of(page, b""): "expected page lengths of 1 to 1024 bytes, received 0 to ",
        payload_of(page, bytes(1025)): "page lengths of 1 to 1024 bytes, received .* to 1025",
        b"\xff" * 8: "received 4294967295 to 4294967295",
        payload_of(page, page)[:-1]: f"received {2 * len(page) + 7} bytes",
        payload_of(page, page) + b"x": f"received {2 * len(page) + 9} bytes",
        payload_of(page, page + b"x"): "page 1 to be one whole .* 1 compressed bytes left over",
        payload_of(page[:-1], page): "page 0 to be one whole stream of 1024 bytes, .* no end",
        payload_of(too_long, page): "received 1025 or more bytes",
        payload_of(page, b"\xff" + page[1:]): "expected page 1 compressed, received damaged data",
        payload_of(page, other): "page 1",
    }
    for payload, message in cases.items():
        with pytest.raises(CorruptDataError, match=message):
            decoded(create_decoder(method, page_size=1024), payload, 2048)


def test_uadks_checksum_is_verified() -> None:
    page = A_PAGE["uadk"]
    damaged = page[:-1] + bytes([page[-1] ^ 1])
    with pytest.raises(CorruptDataError, match="expected page 0 compressed, received damaged"):
        decoded(create_decoder("uadk", page_size=1024), payload_of(damaged), 1024)


@both
def test_a_bomb_is_stopped_at_the_size_of_its_page(method: str) -> None:
    size = 65536
    writer = zlib.compressobj(9, zlib.DEFLATED, WBITS[method])
    page = writer.compress(bytes(63 << 20)) + writer.flush()
    assert 60_000 < len(page) < size
    decoder, out = create_decoder(method, page_size=size), memoryview(bytearray(size))
    payload = memoryview(payload_of(page))
    tracemalloc.start()
    try:
        with pytest.raises(CorruptDataError, match="received 65537 or more bytes"):
            decoder.decode(payload, out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * size


@both
def test_packets_are_independent(method: str) -> None:
    encoder = create_encoder(method, None)
    payloads = [encoded(encoder, sample_pages(8, PAGE, seed)) for seed in range(3)]
    decoder = create_decoder(method)
    for seed in (2, 0, 1):
        assert decoded(decoder, payloads[seed], 8 * PAGE) == sample_pages(8, PAGE, seed)
