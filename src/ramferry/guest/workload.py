"""What the built-in guest does with its memory, and the proof that none of it was lost.

Writes are numbered from 0, the guest's counter. Write n goes to the page that the pattern names for
n, and puts there, in 64-bit words: n, the page's number, and words that follow from both, up to the
given number of bytes; the rest of the page stays what it was. So each page tells its newest write,
and the counter of a stopped guest says which write that has to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ramferry.errors import UsageError
from ramferry.vocabulary import PATTERNS, Pattern

HOT_SHARE: Final = 10
"""One page in so many is hot."""
HOT_WRITES: Final = 10
"""One write in so many goes to any page, all others to a hot one."""
LEAST_BYTES: Final = 16
"""Bytes that a write changes at least: its own number and the page's."""
_VERIFIED: Final = 1 << 20
"""Writes that ``_newest`` examines at once: 8 MiB of numbers."""

Words = NDArray[np.uint64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Workload:
    """Which pages are written, how fast, and how much of each."""

    rate: float = 0.0
    """Bytes of pages written a second; 0 for an idle guest."""
    pattern: Pattern = "sequential"
    changed: int = 64
    """Bytes changed in each page written, a multiple of 8."""

    def __post_init__(self) -> None:
        """Check the values.

        :raise UsageError: one of them makes no sense.
        """
        if self.pattern not in PATTERNS:
            raise UsageError(f"no pattern {self.pattern!r}: there are {', '.join(PATTERNS)}")
        if self.rate < 0:
            raise UsageError(f"a guest cannot write {self.rate:g} bytes a second")
        if self.changed % 8 or not LEAST_BYTES <= self.changed <= 4096:
            raise UsageError(
                f"a write changes {LEAST_BYTES} to 4096 bytes of a page, in steps of 8, "
                f"not {self.changed}"
            )

    def rows(self, first: int, count: int, pages: int) -> Rows:
        """Page numbers of the writes ``first`` to ``first + count``, in a guest of ``pages``."""
        numbers = np.arange(first, first + count, dtype=np.uint64)
        if self.pattern == "sequential":
            return (numbers % np.uint64(pages)).astype(np.intp)
        noise = _mixed(numbers)
        if self.pattern == "random":
            return (noise % np.uint64(pages)).astype(np.intp)
        hot = np.uint64(max(1, pages // HOT_SHARE))
        anywhere = numbers % np.uint64(HOT_WRITES) == 0
        return np.where(anywhere, noise % np.uint64(pages), noise % hot).astype(np.intp)

    def write(self, pages: NDArray[np.uint8], first: int, count: int) -> None:
        """Do writes ``first`` to ``first + count``.

        :param pages: the guest's, one a row.
        """
        rows = self.rows(first, count, len(pages))
        words = pages.view(np.uint64)
        # of several writes to one page the last one stays, as if done one after another
        words[rows, : self.changed // 8] = self._content(
            np.arange(first, first + count, dtype=np.uint64), rows
        )

    def bad_pages(self, pages: NDArray[np.uint8], counter: int) -> Rows:
        """Numbers of the pages of a stopped guest that are not as its writes left them.

        :param counter: the number of writes that it has done.
        """
        newest = self._newest(counter, len(pages))
        rows = np.flatnonzero(newest >= 0)
        expected = self._content(newest[rows].astype(np.uint64), rows)
        found = pages.view(np.uint64)[rows, : self.changed // 8]
        bad: Rows = rows[(found != expected).any(axis=1)]
        return bad

    def _newest(self, counter: int, pages: int) -> NDArray[np.int64]:
        """The number of the last write to each page; -1 if there was none."""
        newest = np.full(pages, -1, np.int64)
        for first in range(0, counter, _VERIFIED):
            count = min(_VERIFIED, counter - first)
            newest[self.rows(first, count, pages)] = np.arange(first, first + count)
        return newest

    def _content(self, numbers: Words, rows: Rows) -> Words:
        """One row of words for each write."""
        words = np.empty((len(numbers), self.changed // 8), np.uint64)
        words[:, 0] = numbers
        words[:, 1] = rows
        places = np.arange(2, self.changed // 8, dtype=np.uint64)
        words[:, 2:] = _mixed(numbers ^ (words[:, 1] << np.uint64(40)))[:, None] + places
        return words


def _mixed(numbers: Words) -> Words:
    """splitmix64's finaliser: numbers that look random, the same ones for the same input."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
