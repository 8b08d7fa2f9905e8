"""Pages of a guest, drawn at random from all of its memory, while it runs on.

Memory differs from place to place: here a page cache, there a heap, then zeros. So it is cut into
strata of equal size, and a piece is drawn from a random place in each: no region is missed, and a
pattern that repeats in memory cannot coincide with the sample. A piece is contiguous, since
compression methods look back: zlib and QATzip 32 KiB, zstd at level 1 512 KiB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ramferry.errors import UsageError
from ramferry.metrics.forecast import Range, SampleSummary
from ramferry.ram.zero import zero_pages
from ramferry.vocabulary import PAGE_SIZE

PIECE: Final = 256 * 1024
"""Bytes drawn at one place. QEMU's ``pmemsave`` of a piece takes 0.4 ms; meanwhile its main loop
does nothing else, and the guest's processors run on."""

SAMPLE: Final = 64 << 20
"""Bytes drawn in all by default: 256 places, and 1.5 to 4 s for all methods on one core."""

Pages = NDArray[np.uint8]
"""Pages, one in each row."""

Read = Callable[[int, int], bytes]
"""Called with an offset and a size, returns the bytes there. Offsets do not count memory holes."""


@dataclass(frozen=True, slots=True)
class MemorySample:
    """The sampled pages, and what is known about them."""

    summary: SampleSummary
    content: Pages
    """The pages that are not zero, in the order of their addresses."""

    @property
    def unseen_share(self) -> float:
        """Share of the guest's memory that is not in the sample."""
        return 1 - self.summary.sampled_bytes / self.summary.total_bytes


def draw(
    source: str,
    total: int,
    read: Read,
    *,
    size: int = SAMPLE,
    page_size: int = PAGE_SIZE,
    seed: int = 1,
) -> MemorySample:
    """Draw a sample.

    :param source: the name of the guest, for the summary.
    :param total: bytes of guest memory.
    :param size: bytes to draw; if the guest has less memory, all of it is drawn.
    :raise UsageError: the memory is smaller than a page, or not whole pages.
    """
    if total < page_size or total % page_size:
        raise UsageError(
            f"{source} holds {total} bytes, which are not whole pages of {page_size} bytes"
        )
    places = positions(total, size, page_size, seed)
    pieces = []
    for at, length in places:
        raw = read(at, length)
        pieces.append(np.frombuffer(raw, np.uint8).reshape(-1, page_size))
    masks = [zero_pages(piece) for piece in pieces]
    seen = sum(length for _, length in places)
    summary = SampleSummary(
        source=source,
        total_bytes=total,
        sampled_bytes=seen,
        pieces=len(places),
        page_size=page_size,
        zero_share=_zero_share(masks, 1 - seen / total),
    )
    content = [piece[~zero] for piece, zero in zip(pieces, masks, strict=True)]
    return MemorySample(summary, np.concatenate(content))


def positions(total: int, size: int, page_size: int, seed: int) -> list[tuple[int, int]]:
    """Offset and length of each piece, ascending, page-aligned, without overlap."""
    pages, per_piece = total // page_size, max(1, PIECE // page_size)
    if size >= total:
        edges = [*range(0, pages, per_piece), pages]
        return [(a * page_size, (b - a) * page_size) for a, b in pairwise(edges)]
    count = max(1, size // (per_piece * page_size))
    per_piece = min(per_piece, pages // count)
    edges = [stratum * pages // count for stratum in range(count + 1)]
    rng = np.random.Generator(np.random.PCG64(seed))
    return [
        (int(rng.integers(low, high - per_piece, endpoint=True)) * page_size, per_piece * page_size)
        for low, high in pairwise(edges)
    ]


def _zero_share(masks: Sequence[NDArray[np.bool_]], unseen: float) -> Range:
    """The mean over the pieces and two standard errors; exact if all memory was drawn."""
    weights = np.array([len(mask) for mask in masks], np.float64)
    shares = np.array([mask.mean() for mask in masks])
    share = float(np.average(shares, weights=weights))
    spread = float(np.std(shares)) * (max(unseen, 0.0) / len(shares)) ** 0.5
    return Range(max(0.0, share - 2 * spread), share, min(1.0, share + 2 * spread))
