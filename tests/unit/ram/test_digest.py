"""Digests: the formula in plain integers, and changes that weaker ones would miss."""

from __future__ import annotations

import numpy as np
import pytest

from ramferry.ram.digest import Digester


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 300])
def test_the_formula(count: int) -> None:
    digester = Digester(512)
    pages = np.random.default_rng(count).integers(0, 256, (count, 512), np.uint8)
    low, middle, high = (weights.tolist() for weights in digester._weights)
    expected = [
        sum(
            a * w + b * (w >> 22) + c * (w >> 44)
            for w, a, b, c in zip(page, low, middle, high, strict=True)
        )
        % (1 << 64)
        for page in pages.view(np.uint64).tolist()
    ]
    assert digester(pages).tolist() == expected


def test_zero_pages_have_the_digest_zero() -> None:
    assert Digester(4096)(np.zeros((3, 4096), np.uint8)).tolist() == [0, 0, 0]


def test_every_single_bit_counts() -> None:
    pages = np.zeros((512 * 8 + 1, 512), np.uint8)
    bits = np.arange(512 * 8)
    pages[bits, bits // 8] = 1 << (bits % 8)
    assert len(np.unique(Digester(512)(pages))) == len(pages)


def test_signs_that_change_in_pairs_are_seen() -> None:
    """The highest bits of two words: with odd weights for whole words they would cancel out."""
    base = np.random.default_rng(1).integers(0, 256, 4096, np.uint8)
    pages = np.tile(base, (512, 1))
    words = pages.view(np.uint64)
    top = np.uint64(1 << 63)
    for row in range(1, 512):
        words[row, 0] ^= top
        words[row, row] ^= top
    assert len(np.unique(Digester(4096)(pages))) == 512


def test_weights_are_drawn_for_each_digester() -> None:
    page = np.ones((1, 4096), np.uint8)
    assert len({int(Digester(4096)(page)[0]) for _ in range(8)}) == 8
