"""A channel of a large guest carries more than 4 GiB: counters of 32 bits wrap, streams go on."""

from __future__ import annotations

import zlib

import pytest

from codec_samples import decoded, encoded, sample_pages
from ramferry.codec import create_decoder, create_encoder
from ramferry.vocabulary import PACKET_BYTES

BEYOND_32_BITS = (1 << 32) + (64 << 20)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("method", "level"), [("zlib", 1), ("zlib", 2), ("zlib", 3), ("zstd", 1)])
def test_a_stream_goes_on_beyond_4_gib(method: str, level: int) -> None:
    samples = [sample_pages(128, seed=seed) for seed in range(7)]
    encoder, decoder = create_encoder(method, level), create_decoder(method)
    theirs = zlib.decompressobj()
    for index in range(BEYOND_32_BITS // PACKET_BYTES):
        pages = samples[index % len(samples)]
        payload = encoded(encoder, pages)
        assert decoded(decoder, payload, PACKET_BYTES) == pages, index
        if method == "zlib":
            assert theirs.decompress(payload) == pages, index
