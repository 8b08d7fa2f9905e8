"""What a migration's bytes cost this process besides its codecs."""

from __future__ import annotations

from typing import Final

from ramferry.flows.session.tally import Tally, cpu_times
from ramferry.vocabulary import GIB

FIRST: Final = 0.15 / GIB
"""Core seconds for each byte, before any was measured."""
_LEAST: Final = 8 << 20
"""Bytes of pages that a measurement takes."""
_SMOOTH: Final = 0.3
"""Weight of the newest measurement."""


class ByteCost:
    """Measures it from call to call; used by one thread at a time.

    Bytes of pages and wire bytes count alike, since what is measured is one sum of both. With
    method none, where as many go by either, a near end took 0.87 ns for both together and a far one
    1.1; with zstd 1 a far one took 0.54 ns a byte by this, with none 0.57 (two cores on which 1 GiB
    of zstd 1 takes 3.8 s of CPU).
    """

    def __init__(self, tally: Tally, *, comes: bool) -> None:
        """:param comes: whether the wire is that by which the migration comes."""
        self._tally = tally
        self._comes = comes
        self._begun = sum(cpu_times())
        self._last = self._look(0.0)
        self._cost = FIRST

    def look(self, aside: float = 0.0) -> float:
        """Core seconds for each byte lately.

        :param aside: core seconds so far that are no part of it.
        """
        now = self._look(aside)
        spent, pages, wire = (one - then for one, then in zip(now, self._last, strict=True))
        if pages >= _LEAST:
            self._last = now
            cost = max(spent, 0.0) / (pages + wire)
            self._cost += _SMOOTH * (cost - self._cost)
        return self._cost

    @property
    def spent(self) -> float:
        """Core seconds of this process since this object was made."""
        return sum(cpu_times()) - self._begun

    def _look(self, aside: float) -> tuple[float, float, float]:
        """Core seconds, bytes of pages, wire bytes."""
        tally, own = self._tally, sum(cpu_times())
        codecs = sum(one.codec_seconds for one in tally.channels)
        wire = tally.bytes_in if self._comes else tally.bytes_out
        return own - codecs - aside, tally.page_bytes, wire
