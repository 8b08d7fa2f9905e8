"""The best of all choices: every combination of the candidates that are worth it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ramferry.policy.measurements import Candidate, Measurements, PageClass
from ramferry.policy.rating import (
    COST,
    FAR,
    NEAR,
    WIRE,
    Array,
    Link,
    Load,
    Rating,
    load,
    rated,
    shares_of,
    together,
)

TIED: Final = 0.985
"""Choices that reach this share of the best rate are as good as it, and the cheapest of them is
taken. In 40 simulated migrations (2 and 4 cores, 0.5 to 10 Gbit/s) 0.975, 0.985 and 0.995 took 805,
890 and 996 core seconds, and 1.024, 1.013 and 1.007 of the best fixed choice's time in the mean."""

Line = Sequence[tuple[Candidate, Load]]
"""Candidates for one class, with their loads."""


@dataclass(frozen=True, slots=True)
class Found:
    """A choice and what it would reach."""

    methods: dict[PageClass, Candidate]
    rating: Rating


def search(m: Measurements, link: Link) -> tuple[Found, Found]:
    """The choice of the highest rate, and the best that does otherwise with the class that most
    pages are of; the same if nothing else can be done with that.

    Of those nearly as good (``TIED``) it is the one that takes the least core seconds. All
    combinations of the classes' frontiers are rated: a few thousand as a rule, in 0.3 ms.
    """
    shares = shares_of(m)
    kinds = list(shares)
    lines = [_frontier(m, kind) for kind in kinds]
    total = _combined(lines, list(shares.values()))
    stages = [link.seconds(total[..., WIRE]), *np.moveaxis(total[..., NEAR:COST], -1, 0)]
    stages.append(np.full(stages[0].shape, 1 / m.source_rate))
    most: Array = np.maximum.reduce(stages)
    seconds = together(stages, np.where(most > 0, most, 1.0))

    def found(at: tuple[int, ...]) -> Found:
        methods = {kind: lines[i][at[i]][0] for i, kind in enumerate(kinds)}
        return Found(methods, rated(m, link, tuple(map(float, total[at]))))

    first = _cheapest(seconds, total[..., COST])
    if len(lines[0]) == 1:
        return found(first), found(first)
    others = seconds.copy()
    others[first[0]] = math.inf
    return found(first), found(_cheapest(others, total[..., COST]))


def _frontier(m: Measurements, kind: PageClass) -> Line:
    """The candidates for a class that none beats in each load; the first of equals."""
    rows = [(one, load(m, one, figure)) for one, figure in m.figures[kind].items()]
    # nothing is beaten by what comes after it in this order
    rows.sort(key=lambda row: (row[1][COST], row[1][WIRE], row[1][NEAR], row[1][FAR]))
    loads = np.array([row for _, row in rows])
    beats = (loads[:, None] <= loads[None]).all(2)
    best = np.flatnonzero(~np.any(np.triu(beats, 1), axis=0))
    return [rows[at] for at in best]


def _combined(lines: Sequence[Line], shares: Sequence[float]) -> Array:
    """The load of every combination: an axis for each class, and one for the load."""
    total: Array = np.zeros((1,) * len(lines) + (COST + 1,))
    for axis, (line, share) in enumerate(zip(lines, shares, strict=True)):
        shape = [1] * len(lines) + [COST + 1]
        shape[axis] = len(line)
        total = total + share * np.array([row for _, row in line]).reshape(shape)
    return total


def _cheapest(seconds: Array, cost: Array) -> tuple[int, ...]:
    at = np.where(seconds <= seconds.min() / TIED, cost, math.inf).argmin()
    return tuple(int(index) for index in np.unravel_index(at, seconds.shape))
