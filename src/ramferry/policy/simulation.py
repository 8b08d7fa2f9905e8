"""A migration's precopy by figures: with one candidate throughout, or as somebody chooses. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from ramferry.policy.choice import Choice
from ramferry.policy.expectations import Expectations
from ramferry.policy.measurements import Candidate, Host, Measurements, PageClass
from ramferry.policy.rating import COST, NEAR, WIRE, Link, Methods, rated, whole

LONGEST: Final = 4000.0
"""Seconds after which a migration counts as one that does not converge."""

BLOCKED: Final = 0.98
"""A link is blocked in a step if the others take less than this part of the time that it takes."""

Shares = Mapping[PageClass, float]


def _nothing_taken(_: float) -> float:
    return 0.0


@dataclass(frozen=True, slots=True)
class World:
    """What is so, whether it is known or not."""

    figures: Expectations
    """The true figures of all candidates."""
    near: Host
    far: Host
    link: Callable[[float], float]
    """Wire bytes a second at a time."""
    shares: Callable[[float], Shares]
    """The shares of classes, by the part of the guest's memory that has been sent."""
    memory: float = 64e9
    """Bytes of pages with content."""
    taken: Callable[[float], float] = _nothing_taken
    """Part of both hosts' cores that other load takes at a time."""
    one_host: bool = False
    device_rate: float = math.inf
    source_rate: float = math.inf
    dirty_rate: float = 0.0
    """Bytes of pages a second that the guest writes, in a working set of ``hot`` bytes."""
    hot: float = 1e9
    downtime: float = 0.3
    """Seconds for which the guest may stand still."""
    step: float = 0.05
    """Seconds that are simulated at once."""

    def at(self, now: float, sent: float, trial_cores: float = 0.0) -> Measurements:
        """The truth at a time.

        :param sent: bytes of pages that went so far.
        :param trial_cores: cores of the near host that trials take.
        """
        free = 1 - self.taken(now)
        return Measurements(
            shares=self.shares(min(1.0, sent / self.memory)),
            figures=self.figures,
            near=replace(self.near, cores=self.near.cores * free - trial_cores),
            far=replace(self.far, cores=self.far.cores * free),
            one_host=self.one_host,
            link=self.link(now),
            link_known=True,
            device_rate=self.device_rate,
            source_rate=self.source_rate,
            began=0.0,
        )


@dataclass(slots=True)
class Outcome:
    """How a migration went."""

    seconds: float = 0.0
    """Total time; infinite if it does not converge."""
    wire: float = 0.0
    """Bytes on the wire."""
    core_seconds: float = 0.0
    """Of both hosts, without trials."""
    trial_seconds: float = 0.0
    """Core seconds of trials."""
    choices: list[Choice] = field(default_factory=list)
    """What was chosen, each change once."""


@dataclass(frozen=True, slots=True)
class Step:
    """What went in a step of a migration."""

    now: float
    """Seconds since it began, at the step's end."""
    seconds: float
    pages: float
    """Bytes of pages."""
    wire: float
    blocked: bool
    """Whether the link made senders wait."""
    truth: Measurements


class Chooser(Protocol):
    """Who says which candidate compresses what."""

    methods: Methods
    trial_cores: float
    """Cores that its trials took in the last step."""

    def saw(self, step: Step, out: Outcome) -> None:
        """Called after each step; adds to ``out`` what it did."""


class Fixed:
    """One candidate for all pages."""

    trial_cores = 0.0

    def __init__(self, candidate: Candidate) -> None:
        self.methods: Methods = dict.fromkeys(PageClass, candidate)

    def saw(self, step: Step, out: Outcome) -> None:
        """As ``Chooser``: nothing is learned."""


def migrate(world: World, chooser: Chooser, longest: float = LONGEST) -> Outcome:
    """Send what the guest has, then what it has written meanwhile, until the rest fits into the
    downtime.

    :param longest: seconds after which nobody waits for it any more.
    """
    out = Outcome()
    left, written, sent = world.memory, 0.0, 0.0
    while out.seconds < longest:
        step, rate = _step(world, chooser, out, left, sent)
        sent += step.pages
        left -= step.pages
        written = min(world.hot, written + world.dirty_rate * step.seconds)
        if left <= 0:
            left, written = written, 0.0
            if left <= world.downtime * rate:
                out.seconds += left / rate
                return out
        chooser.saw(step, out)
    out.seconds = math.inf
    return out


def _step(
    world: World, chooser: Chooser, out: Outcome, left: float, sent: float
) -> tuple[Step, float]:
    m = world.at(out.seconds, sent, chooser.trial_cores)
    total = whole(m, chooser.methods)
    rating = rated(m, Link(m.link), total)
    pages = min(left, rating.rate * world.step)
    seconds = pages / rating.rate
    out.seconds += seconds
    out.wire += pages * rating.wire
    out.core_seconds += pages * rating.cost
    others = max(*total[NEAR:COST], 1 / m.source_rate)
    blocked = others < BLOCKED * total[WIRE] / m.link
    return Step(out.seconds, seconds, pages, pages * rating.wire, blocked, m), rating.rate


def best_fixed(world: World, among: Sequence[Candidate]) -> tuple[Candidate, float]:
    """The candidate that takes the least time for all pages, and how long it takes."""
    found, least = among[0], LONGEST
    for one in among:
        seconds = migrate(world, Fixed(one), least).seconds
        if seconds < least:
            found, least = one, seconds
    return found, least
