"""Decides which candidate compresses each class of pages. Pure: the caller has the clock.

The choice is that of the highest rate by what was measured. It is left for another one only for a
gain that is more than noise, seldom, and never near the switchover.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from ramferry.policy.choice import Choice
from ramferry.policy.measurements import Candidate, Measurements, PageClass
from ramferry.policy.rating import Link, Methods, Rating, everywhere, rate, shares_of
from ramferry.policy.searching import Found, search
from ramferry.policy.wording import reason

GAIN: Final = 1.05
"""How much faster another choice must be to be taken, and any choice than ``NONE``. In simulated
migrations 3 % made more changes and no difference in time."""

SAVING: Final = 0.8
"""Share of the core seconds that a choice may take at most to be taken because it is cheaper and
not slower."""

INTERVAL, QUICK_INTERVAL = 1.0, 0.25
"""Least seconds from one change to the next, and in the first ``QUICK_SECONDS``."""
QUICK_SECONDS: Final = 2.0

STAY: Final = 3.0
"""Seconds that a choice is to stay, unless another one gains ``STAY_GAIN``; not in the first
``QUICK_SECONDS``, in which choices are made by a few packets."""
STAY_GAIN: Final = 1.1

OPTIMISM: Final = 2.0
"""A link that was not blocked is tried with so many times as much as it carried: where it carries
no more, that is known an interval later, and half the rate was lost for so long."""

FEW: Final = 0.02
"""Share of the pages below which a class is decided for as if no other came: it weighs nothing in
the whole, and more of it may come."""


def decide(m: Measurements, now: float, last: Choice | None) -> Choice:
    """The choice from now on; ``last`` with newer figures, if there is nothing to change.

    :param now: the caller's clock, in seconds.
    :param last: the choice that is in force; None at the start.
    """
    if m.frozen:
        return last or _first(m, now)
    link = _believed(m, last)
    best, other = _best(m, link)
    current = _current(m, link, last)
    if last is None or current is None:
        return _told(m, best, other, now, provisional=last is None)
    if best.methods == current.methods:
        return _told(m, current, other, last.since)
    if _due(m, now, last, best.rating, current.rating):
        return _told(m, best, other, now)
    return _told(m, current, best, last.since, provisional=last.provisional)


def _first(m: Measurements, now: float) -> Choice:
    link = Link(math.inf)
    found = Found(everywhere(m), rate(m, link, everywhere(m)))
    return _told(m, found, found, now)


def _best(m: Measurements, link: Link) -> tuple[Found, Found]:
    """The best choice, and the one to compare it with."""
    best, other = search(m, link)
    none = Found(everywhere(m), rate(m, link, everywhere(m)))
    if best.rating.rate < GAIN * none.rating.rate:
        # what gains less than can be measured is not worth a risk
        return none, other if best.methods == none.methods else best
    return Found(_with_few(m, link, best.methods), best.rating), other


def _believed(m: Measurements, last: Choice | None) -> Link:
    """What is known of the link, or may be hoped for.

    A link that was not blocked is not what limits the choice in force, nor one with fewer wire
    bytes: nothing is gained by compressing harder.
    """
    if m.link_known:
        return Link(m.link)
    if last is None or not 0 < m.link < math.inf or not _known(m, last.methods):
        return Link(math.inf)
    wire = rate(m, Link(math.inf), last.methods).wire
    return Link(OPTIMISM * m.link, free=wire * 1.001)


def _known(m: Measurements, methods: Methods) -> bool:
    return all(methods.get(kind) in figures for kind, figures in m.figures.items())


def _current(m: Measurements, link: Link, last: Choice | None) -> Found | None:
    """The choice in force, rated anew; None if it cannot go on."""
    if last is None or not _known(m, last.methods):
        return None
    methods = {kind: last.methods[kind] for kind in m.figures}
    return Found(methods, rate(m, link, methods))


def _due(m: Measurements, now: float, last: Choice, best: Rating, current: Rating) -> bool:
    """Whether the best choice is so much better, and the one in force so old, that it changes."""
    age, quick = now - last.since, now - m.began < QUICK_SECONDS
    if age < (QUICK_INTERVAL if quick else INTERVAL) and not last.provisional:
        return False
    gained = best.rate / current.rate if current.rate < math.inf else 1.0
    if gained >= (GAIN if age >= STAY or last.provisional or quick else STAY_GAIN):
        return True
    return gained >= 1.0 and best.cost <= SAVING * current.cost


def _with_few(m: Measurements, link: Link, methods: Methods) -> dict[PageClass, Candidate]:
    """The same, with classes that hardly come decided for by themselves."""
    found = dict(methods)
    for kind, share in shares_of(m).items():
        if share < FEW:
            alone = replace(m, shares={kind: 1.0}, figures={kind: m.figures[kind]})
            found[kind] = search(alone, link)[0].methods[kind]
    return found


def _told(
    m: Measurements,
    found: Found,
    other: Found,
    since: float,
    *,
    provisional: bool = False,
) -> Choice:
    figures = {kind: m.figures[kind][one] for kind, one in found.methods.items()}
    return Choice(
        methods=found.methods,
        rate=found.rating.rate,
        limited_by=found.rating.limited_by,
        runner_up=other.methods,
        runner_up_rate=other.rating.rate,
        since=since,
        reason=reason(m, found, other),
        figures=figures,
        provisional=provisional and not m.link_known,
    )
