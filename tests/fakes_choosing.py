"""Choices that change at each packet, and pages that are worth compressing."""

from __future__ import annotations

import random

from ramferry.policy.measurements import Candidate, PageClass


class Turns:
    """Chooses another candidate at each look."""

    def __init__(self, *candidates: Candidate) -> None:
        self._candidates = candidates
        self._turn = 0

    def __getitem__(self, _: PageClass) -> Candidate:
        self._turn += 1
        return self._candidates[self._turn % len(self._candidates)]


def text(chance: random.Random, size: int) -> bytes:
    """A page's bytes, of a few words."""
    return b"".join(chance.choice((b"alpha ", b"beta ", b"gamma\n")) for _ in range(size))[:size]
