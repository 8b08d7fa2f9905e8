"""A stream as QEMU's zlib writes and reads it."""

from __future__ import annotations

import os

import pytest

from ramferry.codec import create_decoder
from ramferry.forecast.qemu_zlib import qemu_zlib

PACKETS = [os.urandom(4096) * 4, bytes(range(256)) * 64, bytes(16384)]


@pytest.mark.parametrize("level", [1, 6, 9])
def test_its_packets_are_one_stream_that_both_inflaters_read(level: int) -> None:
    encoder, decoder = qemu_zlib(level)
    other = create_decoder("zlib")
    for pages in PACKETS:
        payload = b"".join(encoder.encode(memoryview(pages)))
        assert payload.endswith(b"\x00\x00\xff\xff")
        for one in (decoder, other):
            out = bytearray(len(pages))
            one.decode(memoryview(payload), memoryview(out))
            assert out == pages


def test_its_first_bytes_are_zlibs() -> None:
    encoder, _ = qemu_zlib(1)
    assert b"".join(encoder.encode(memoryview(b"aaaa"))) == bytes.fromhex(
        "78 01 4a 4c 4c 4c 04 00 00 00 ff ff"
    )
