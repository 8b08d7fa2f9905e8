"""Tells kinds of packets apart by a sample of their bytes.

Compression costs and gains alike for packets of a kind, so figures are kept for each kind. A wrong
class harms little: what a candidate makes of a class is measured, whatever is in it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ramferry.policy.measurements import PageClass
from ramferry.vocabulary import PAGE_SIZE

SAMPLE: Final = 3072
"""Bytes that are looked at, in rows of one length, one a page: 11 to 14 µs a packet of 512 KiB, in
the cache or not (one core of an AMD EPYC, 256 packets of random bytes). That is a hundredth of what
zstd 1 takes, and more of what a packet without compression does: where all classes have the same
candidate there is no need to ask."""

MOSTLY_ZERO: Final = 0.75
"""Share of zero bytes from which on a packet is mostly zero."""

MOSTLY_TEXT: Final = 0.85
"""Share of letters, digits, signs and white space from which on it is text-like."""

FLAT: Final = 1.2
"""Chance that two bytes of a sample are equal, in 256ths, up to which it counts as incompressible.
Random bytes have 1.00 ± 0.01, what zlib made of machine code 1.07, machine code 3 and more."""

_TEXT: Final = np.isin(np.arange(256), [9, 10, 13, *range(32, 127)]).astype(np.int64)


def classify(pages: memoryview) -> PageClass:
    """The kind of a packet's pages.

    :param pages: the bytes of one packet's pages, at least one; they are only read.
    """
    counts = np.bincount(_sample(np.frombuffer(pages, np.uint8)), minlength=256)
    size = int(counts.sum())
    if counts[0] >= MOSTLY_ZERO * size:
        return PageClass.ZEROS
    if int(counts @ _TEXT) >= MOSTLY_TEXT * size:
        return PageClass.TEXT
    if int(counts @ (counts - 1)) * 256 <= FLAT * size * (size - 1):
        return PageClass.RANDOM
    return PageClass.BINARY


def _sample(flat: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows from all over a packet, each from another place of its page, as pages begin alike."""
    row = max(1, SAMPLE * PAGE_SIZE // max(len(flat), 1))
    rows = len(flat) // (PAGE_SIZE + row)
    if rows < 2:
        return flat
    return flat[: rows * (PAGE_SIZE + row)].reshape(rows, PAGE_SIZE + row)[:, :row].ravel()
