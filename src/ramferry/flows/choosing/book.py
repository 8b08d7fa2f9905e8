"""The figures of candidates in one migration, from trials and from what is in use."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ramferry.flows.choosing.uses import Use
from ramferry.policy.figures import Figures, Tried
from ramferry.policy.measurements import Candidate, Figure, PageClass

_FADES: Final = 0.8
"""What is left of a class' bytes at the next reading."""
_LEAST: Final = 1 << 20
"""Bytes of pages in use that are added to the figures at a time: more than one packet, so that the
first one's time is no part of it (``CodecClock``)."""
_SMOOTH: Final = 0.3
"""Weight of the newest measurement of the far end."""
_SLOWEST: Final = 8.0
"""Most times as long as here that the far end is believed to take."""


class Book:
    """Keeps them; trials are entered in another thread than all else."""

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._figures = Figures(candidates)
        self._lock = threading.Lock()
        """Guards ``_figures``."""
        self._now = self._figures.all()
        """What they were when they were asked for last: as inflating costs here."""
        self._lately: dict[PageClass, float] = dict.fromkeys(PageClass, 0.0)
        self._read: dict[int, tuple[int, int]] = {}
        """Of each use, what was read of it: bytes of pages, wire bytes."""
        self._entered: dict[int, tuple[int, int, float]] = {}
        """Of each use, what is in the figures: the same, and core seconds."""
        self._inflated = [0.0, 0.0]
        """What it takes here to inflate what was sent lately: core seconds, bytes of pages."""
        self._far = 1.0
        """How many times as long the far end takes for that."""

    def tried(self, kind: PageClass, pages: int, trials: Sequence[Tried]) -> None:
        """Enter the trials of one packet of ``pages`` bytes."""
        with self._lock:
            self._figures.tried(kind, pages, trials)

    def read(self, uses: Iterable[Use]) -> None:
        """Enter what came of the candidates in use, several times a second."""
        self._lately = {kind: size * _FADES for kind, size in self._lately.items()}
        self._inflated = [one * _FADES for one in self._inflated]
        for use in uses:
            size, wire = use.clock.size, use.wire
            before, _ = self._read.get(id(use), (0, 0))
            self._read[id(use)] = size, wire
            self._lately[use.kind] += size - before
            if not use.plain:
                decode = self._now[use.kind][use.candidate].decode
                self._inflated[0] += (size - before) * decode
                self._inflated[1] += size - before
                self._enter(use, size, wire)

    def _enter(self, use: Use, size: int, wire: int) -> None:
        seconds = use.clock.seconds
        before, wire_before, seconds_before = self._entered.get(id(use), (0, 0, 0.0))
        if size - before < _LEAST or seconds <= 0:
            return
        self._entered[id(use)] = size, wire, seconds
        spent = max(seconds - seconds_before, 0.0)
        with self._lock:
            self._figures.used(use.kind, use.candidate, size - before, wire - wire_before, spent)

    def far_decodes(self, cost: float) -> None:
        """Take note of the core seconds that the far end takes to inflate what becomes a byte of
        pages; 0: none did."""
        seconds, size = self._inflated
        if cost and size >= _LEAST and seconds:
            times = min(max(cost * size / seconds, 1 / _SLOWEST), _SLOWEST)
            self._far += _SMOOTH * (times - self._far)

    def shares(self) -> dict[PageClass, float]:
        """Each class' share of the bytes of pages lately; all 0 if none has come."""
        total = sum(self._lately.values())
        return {kind: size / total if total else 0.0 for kind, size in self._lately.items()}

    def figures(self) -> Mapping[PageClass, Mapping[Candidate, Figure]]:
        """All figures, with what inflating costs at the far end."""
        with self._lock:
            self._now = found = self._figures.all()
        if self._far == 1.0:
            return found
        return {
            kind: {
                one: replace(figure, decode=figure.decode * self._far)
                for one, figure in figures.items()
            }
            for kind, figures in found.items()
        }
