"""Which candidate is tried on a packet off the hot path, and what trials may cost. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from ramferry.policy.choice import Choice
from ramferry.policy.expectations import YARDSTICKS
from ramferry.policy.measurements import NONE, Candidate, Figure, Measurements, PageClass
from ramferry.policy.rating import Link, load, rated, shares_of, whole
from ramferry.vocabulary import PACKET_BYTES

SHARE: Final = 0.01
"""Part of the pair's core seconds that trials may take; classes of packets take nearly as much."""

FEW: Final = 0.05
"""Least share that a class is planned for with."""

START: Final = 0.06
"""Core seconds that they may take in any case: enough for a dozen fast candidates, so that the
first decision comes early."""

RESERVED: Final = 0.2
"""Part of it that is left to candidates that are not in use, or expensive ones would never have
their turn."""

EXPLORED: Final = 10
"""One trial in so many is of a candidate that is neither in use nor near."""

NEAR: Final = 0.9
"""Share of the present rate from which on a candidate is near: worth knowing well."""

DOUBT: Final = 0.3
"""How much better than expected a candidate may be that was never measured; with each packet that
it was measured with, it is less."""

INCOMPRESSIBLE, SURE = 0.98, 4 * PACKET_BYTES
"""Wire bytes for each byte of pages, measured with so many bytes of pages, from which on a
candidate has no hope: it is tried as rarely as one that is not in use."""

ENOUGH: Final = 2 * PACKET_BYTES
"""Bytes of pages of a class that the yardstick is tried on while nothing is known of the link."""

WORTH: Final = 1.02
"""What must be gained, if a candidate is as good as may be hoped, for it to be tried."""

STEPS: Final = ((16, 2), (256, 8))
"""Packets of a channel up to which one in so many is sampled, then one in ``STEP``. Where 250
Mbit/s let 15 packets a second through each of four channels, one in 8 left the first choice to one
packet."""
STEP: Final = 64


def sampled(packet: int) -> bool:
    """Whether a packet is to be tried on, by its number on its channel, from 0."""
    step = next((step for before, step in STEPS if packet < before), STEP)
    return packet % step == 0


def allowance(total: float, spent: float) -> float:
    """Core seconds that trials may take now.

    :param total: core seconds of the pair so far.
    :param spent: those of trials among them.
    """
    return max(START, SHARE * total) - spent


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate and what trying it on a packet is expected to cost."""

    candidate: Candidate
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What is worth trying on packets of each class, until the next decision."""

    near: Mapping[PageClass, tuple[Trial, ...]]
    """In use or nearly as good, the least measured first."""
    far: Mapping[PageClass, tuple[Trial, ...]]
    """Others that may be better, the most promising first."""
    hopeless: Collection[PageClass] = ()
    """Classes of which nothing that was tried made less: these wait until ``SHARE`` of a longer
    migration pays for them."""


def plan(m: Measurements, choice: Choice) -> Plan:
    """Plan trials: once a decision, as it rates every candidate of every class.

    As long as nothing is known of the link, and nothing is compressed, only the yardstick is tried,
    to see how fast this host is: 30 trials of a second over 10 Gbit/s were 18 ms of a core for
    nothing.
    """
    if choice.provisional or (choice.plain and not m.link_known):
        return _yardstick(m)
    link = Link(m.link if m.link_known else math.inf)
    shares = shares_of(m)
    base = whole(m, choice.methods)
    present = rated(m, link, base).rate
    near: dict[PageClass, tuple[Trial, ...]] = {}
    far: dict[PageClass, tuple[Trial, ...]] = {}
    for kind, share in shares.items():
        used = load(m, choice.methods[kind], m.figures[kind][choice.methods[kind]])
        # a class that hardly comes is planned for as if it came
        weight = max(share, FEW)
        close, others = [], []
        for one, figure in m.figures[kind].items():
            if one == NONE:
                continue
            hoped = load(m, one, _hoped(figure))
            moved = tuple(b + weight * (h - u) for b, h, u in zip(base, hoped, used, strict=True))
            gain = rated(m, link, moved).rate / present
            trial = _trial(one, figure)
            if one == choice.methods[kind] or (gain >= NEAR and not _hopeless(figure)):
                close.append((figure.measured, trial))
            elif gain >= WORTH:
                others.append((-gain, trial))
        near[kind] = tuple(trial for _, trial in sorted(close, key=lambda pair: pair[0]))
        far[kind] = tuple(trial for _, trial in sorted(others, key=lambda pair: pair[0]))
    return Plan(near, far, frozenset(filter(partial(_class_hopeless, m), shares)))


def yardstick_of(among: Collection[Candidate]) -> Candidate:
    """The candidate that others are compared with: one of ``YARDSTICKS``, or where none of them is
    a candidate, the first that compresses; ``NONE`` if nothing does."""
    others = (one for one in among if one != NONE)
    return next((one for one in YARDSTICKS if one in among), next(others, NONE))


def _yardstick(m: Measurements) -> Plan:
    """A few trials of it: over a link that is never known, each more would be for nothing."""
    trials = {}
    for kind, figures in m.figures.items():
        one = yardstick_of(figures)
        wanted = one != NONE and figures[one].measured < ENOUGH
        trials[kind] = (_trial(one, figures[one]),) if wanted else ()
    return Plan(trials, {})


def _trial(candidate: Candidate, figure: Figure) -> Trial:
    return Trial(candidate, PACKET_BYTES * (figure.encode + figure.decode))


def _hopeless(figure: Figure) -> bool:
    return figure.wire > INCOMPRESSIBLE and figure.measured >= SURE


def _class_hopeless(m: Measurements, kind: PageClass) -> bool:
    tried = [one for one in m.figures[kind].values() if one.measured and one.encode]
    enough = sum(one.measured for one in tried) >= SURE
    return enough and all(one.wire > INCOMPRESSIBLE for one in tried)


def _hoped(figure: Figure) -> Figure:
    """A figure as good as it may turn out."""
    doubt = DOUBT / (1 + figure.measured / PACKET_BYTES) ** 0.5
    return Figure(figure.wire * (1 - doubt), figure.encode * (1 - doubt), figure.decode)


def next_trial(plan: Plan, kind: PageClass, number: int, allowed: float) -> Candidate | None:
    """The candidate to try on a packet of a class; None if none is worth its cost.

    :param number: how many trials there were.
    :param allowed: core seconds, as ``allowance`` tells.
    """
    near, far = plan.near.get(kind, ()), plan.far.get(kind, ())
    if kind in plan.hopeless:
        allowed -= START
    explores = number % EXPLORED == EXPLORED - 1 or not near
    if explores:
        found = next((one for one in far if one.seconds <= allowed), None)
        if found:
            return found.candidate
    affordable = [one for one in near if one.seconds <= (1 - RESERVED) * allowed]
    return affordable[number % len(affordable)].candidate if affordable else None
