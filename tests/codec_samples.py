"""Pages like a guest's, and short ways to encode and decode one packet."""

from __future__ import annotations

import random
from collections.abc import Iterator

from ramferry.codec import METHODS, Decoder, Encoder

PAGE = 4096
WORDS = b"page block channel packet source destination precopy dirty round guest ram ".split()

EVERY_LEVEL = [
    (name, level) for name, method in METHODS.items() for level in (method.levels or [None])
]
"""Every method with each of its levels, for ``parametrize``."""


def sample_pages(count: int, page_size: int = PAGE, seed: int = 0) -> bytes:
    """Return pages in turn like text, pointers, one repeated byte, and random data."""
    source = random.Random(f"{seed}/{page_size}")
    pages = bytearray()
    for index in range(count):
        kind = (index + seed) % 4
        if kind == 0:
            page = b" ".join(source.choices(WORDS, k=page_size // 3))[:page_size]
        elif kind == 1:
            words = (0x7F0000000000 + source.randrange(1 << 20) * 8 for _ in range(page_size // 8))
            page = b"".join(word.to_bytes(8, "little") for word in words)
        elif kind == 2:
            page = bytes([source.randrange(256)]) * page_size
        else:
            page = source.randbytes(page_size)
        pages += page
    return bytes(pages)


def packets(count: int, pages: int = 16, page_size: int = PAGE, seed: int = 0) -> Iterator[bytes]:
    """Yield the pages of ``count`` packets, all different, sharing content across packets."""
    for index in range(count):
        yield sample_pages(pages, page_size, seed + index // 2)[: (pages - index % 3) * page_size]


def encoded(encoder: Encoder, pages: bytes) -> bytes:
    """Return one packet's payload in one piece."""
    return b"".join(encoder.encode(memoryview(pages)))


def decoded(decoder: Decoder, payload: bytes | bytearray, size: int) -> bytes:
    """Return the ``size`` bytes of pages that a payload inflates to."""
    out = bytearray(b"\xa5" * size)
    decoder.decode(memoryview(payload), memoryview(out))
    return bytes(out)
