"""What a choice would make of a migration. Pure.

Pages of each class come in given shares, and each byte of them loads the link, the cores of both
hosts and the devices by what its class' candidate costs. Their work overlaps, so that the slowest
decides how many bytes of pages pass in a second; alone, if the others are far from their limits
(``OVERLAP``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import repeat
from operator import mul
from typing import Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ramferry.policy.measurements import NONE, Candidate, Figure, Host, Measurements, PageClass

Array = NDArray[np.float64]

Load = tuple[float, ...]
"""What a byte of pages costs; ``WIRE`` to ``COST`` are its columns."""

Methods = Mapping[PageClass, Candidate]
"""A candidate for each class."""

LIMITS: Final = ("link", "near cores", "far cores", "device", "source")
"""What may limit a migration."""

WIRE, NEAR, FAR, DEVICE, COST = COLUMNS = range(5)
"""The columns of a load: wire bytes; seconds that the near cores, the far cores and the devices
take; core seconds of both hosts. All of them for each byte of pages."""

OVERLAP: Final = 6
"""Power of the mean of the stages' times that is the time of all: what waits for one stage leaves
another one at rest now and then. On two cores, with four channels, zstd 1 over 500 Mbit/s took
3.98 s where link and cores alone would 3.4 and 3.6, zstd 3 over 250 Mbit/s 6.8 to 7.1 where they
would 6.5 and 6.0: the power of 5 comes to that. 8 of the documented table's channels come nearer to
their slowest stage alone. By that alone ``auto`` took 1.14 of zstd 1's time over 500 Mbit/s, since
it loaded the cores as much as the link."""

BEHIND_SECONDS: Final = 0.1
"""Work that may wait at the far end before its cores count as fewer: as much as the buffers on the
way hold anyway (docs/decisions/0005-buffers-are-downtime.md)."""

LEAST_CORES: Final = 0.05
"""A host that has nothing left still gets a turn now and then."""


@dataclass(frozen=True, slots=True)
class Link:
    """What is believed of the link."""

    rate: float
    """Wire bytes a second."""
    free: float = 0.0
    """Wire bytes for each byte of pages up to which it is not what limits, because as many went
    over it without its being blocked."""

    def seconds(self, wire: Array | float) -> Array:
        """Seconds that it takes for each byte of pages with so many wire bytes."""
        return np.where(wire <= self.free, 0.0, wire / self.rate)


@dataclass(frozen=True, slots=True)
class Rating:
    """What a choice would reach."""

    rate: float
    """Bytes of pages a second."""
    limited_by: str
    """One of ``LIMITS``."""
    cost: float
    """Core seconds of both hosts for each byte of pages."""
    wire: float
    """Wire bytes for each byte of pages."""


def load(m: Measurements, candidate: Candidate, figure: Figure) -> Load:
    """The load that a candidate makes of a byte of pages."""
    near = figure.encode + _besides(m.near, figure)
    far = figure.decode + _besides(m.far, figure)
    near_cores = max(m.near.cores, LEAST_CORES)
    far_cores = max(m.far.cores, LEAST_CORES)
    # an end that falls behind has fewer cores than it said, for those who load it most
    behind = 1 + max(0.0, m.far_behind - BEHIND_SECONDS)
    return (
        figure.wire,
        (near + far if m.one_host else near) / near_cores,
        far * behind / (near_cores if m.one_host else far_cores),
        1 / m.device_rate if candidate.device else 0.0,
        near + far,
    )


def _besides(host: Host, figure: Figure) -> float:
    return host.page_cost + figure.wire * host.wire_cost


def shares_of(m: Measurements) -> dict[PageClass, float]:
    """The shares of the classes that there are figures of, the most frequent first; they add up to
    1, and are alike if nothing has come yet."""
    known = {kind: max(0.0, m.shares.get(kind, 0.0)) for kind in m.figures}
    total = sum(known.values())
    found = {kind: share / total if total else 1 / len(known) for kind, share in known.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def rate(m: Measurements, link: Link, methods: Methods) -> Rating:
    """What ``methods`` would reach.

    :raise KeyError: one of its candidates has no figure.
    """
    return rated(m, link, whole(m, methods))


def whole(m: Measurements, methods: Methods) -> Load:
    """The load that ``methods`` make of a byte of pages of all classes, by their shares."""
    loads = [
        (share, load(m, methods[kind], m.figures[kind][methods[kind]]))
        for kind, share in shares_of(m).items()
    ]
    return tuple(sum(share * one[column] for share, one in loads) for column in COLUMNS)


def rated(m: Measurements, link: Link, total: Load) -> Rating:
    """The rating of a load of pages of all classes."""
    stages = [float(link.seconds(total[WIRE])), *total[NEAR:COST], 1 / m.source_rate]
    slowest = max(range(len(stages)), key=stages.__getitem__)
    most = stages[slowest]
    seconds = together(stages, most) if most else 0.0
    reached = 1 / seconds if seconds else math.inf
    return Rating(reached, LIMITS[slowest], total[COST], total[WIRE])


_Seconds = TypeVar("_Seconds", float, Array)


def together(stages: Iterable[_Seconds], most: _Seconds) -> _Seconds:
    """Seconds that stages take together, of the seconds of each alone: numbers, which are quick
    where this is asked a hundred times for a decision, or arrays of one shape.

    :param most: of the slowest; nowhere 0.
    """
    parts = sum(_power(one / most) for one in stages)
    return cast("_Seconds", most * parts ** (1 / OVERLAP))


def _power(share: _Seconds) -> _Seconds:
    """To the power of ``OVERLAP``, by multiplications: an array's ``**`` takes 20 times as long."""
    return reduce(mul, repeat(share, OVERLAP))


def everywhere(m: Measurements, candidate: Candidate = NONE) -> dict[PageClass, Candidate]:
    """The same candidate for all classes."""
    return dict.fromkeys(m.figures, candidate)
