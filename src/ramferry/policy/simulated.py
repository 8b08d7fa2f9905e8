"""The policy in a simulated migration. Pure.

It is shown no more than a real migration shows: figures of the packets that are tried, the link's
rate only where it blocks, cores as of the last step.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from ramferry.policy.choice import Choice
from ramferry.policy.deciding import decide
from ramferry.policy.figures import Figures, Tried
from ramferry.policy.link import LinkRate
from ramferry.policy.measurements import Candidate, Figure, Measurements, PageClass
from ramferry.policy.rating import Methods
from ramferry.policy.simulation import Outcome, Step, World
from ramferry.policy.trials import Plan, allowance, next_trial, plan, sampled, yardstick_of
from ramferry.vocabulary import PACKET_BYTES

EVERY: Final = 0.5
"""Seconds between decisions, but for the first second, in which each step has one."""


OWN: Final = 1 / 3
"""Part of the noise that is each candidate's own: the rest is how a packet differs from others."""


class Policy:
    """Chooses as ``decide`` says, by what it was shown."""

    def __init__(self, world: World, noise: float = 0.0, seed: int = 1) -> None:
        """:param noise: standard deviation of the logarithm of what is measured."""
        self.trial_cores = 0.0
        self._noise = noise
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._figures = Figures(tuple(world.figures[PageClass.TEXT]))
        self._link = LinkRate()
        self._packets = self._trials = 0
        self._over = 0.0
        self._choice = self._decided(world.at(0.0, 0.0), 0.0, None)
        self._due = 0.0

    @property
    def methods(self) -> Methods:
        """As ``Chooser``."""
        return self._choice.methods

    def saw(self, step: Step, out: Outcome) -> None:
        """As ``Chooser``: learn, and decide if it is time."""
        if not out.choices:
            out.choices.append(self._choice)
        if step.seconds:
            self._link = self._link.seen(step.now, step.wire / step.seconds, step.blocked)
        self._try(step, out)
        if step.now < 1.0 or step.now >= self._due:
            self._due = step.now + EVERY
            before = self._choice
            self._choice = self._decided(step.truth, step.now, before)
            if before.methods != self._choice.methods:
                out.choices.append(self._choice)

    def _decided(self, truth: Measurements, now: float, last: Choice | None) -> Choice:
        m = Measurements(
            shares=truth.shares,
            figures=self._figures.all(),
            near=truth.near,
            far=truth.far,
            one_host=truth.one_host,
            link=self._link.rate or math.inf,
            link_known=self._link.known,
            device_rate=truth.device_rate,
            source_rate=truth.source_rate,
            began=0.0,
        )
        choice = decide(m, now, last)
        self._plan: Plan = plan(m, choice)
        return choice

    def _try(self, step: Step, out: Outcome) -> None:
        """Try candidates on the packets of a step that are sampled."""
        self._over += step.pages / PACKET_BYTES
        before = out.trial_seconds
        for kind, count in self._sampled(step).items():
            for _ in range(count):
                self._one(step, kind, out)
        spent = out.trial_seconds - before
        self.trial_cores = spent / step.seconds if step.seconds else 0.0

    def _sampled(self, step: Step) -> Counter[PageClass]:
        kinds, shares = zip(*step.truth.shares.items(), strict=True)
        whole = int(self._over)
        self._over -= whole
        number = sum(sampled(self._packets + at) for at in range(whole))
        self._packets += whole
        drawn = self._random.multinomial(number, np.array(shares) / sum(shares))
        return Counter(dict(zip(kinds, map(int, drawn), strict=True)))

    def _one(self, step: Step, kind: PageClass, out: Outcome) -> None:
        allowed = allowance(out.core_seconds + out.trial_seconds, out.trial_seconds)
        candidate = next_trial(self._plan, kind, self._trials, allowed)
        if candidate is None:
            return
        packet = self._off(1.0)
        both = dict.fromkeys((yardstick_of(step.truth.figures[kind]), candidate))
        trials = [self._tried(one, step.truth.figures[kind][one], packet) for one in both]
        self._trials += len(trials)
        self._figures.tried(kind, PACKET_BYTES, trials)
        out.trial_seconds += sum(one.encode + one.decode for one in trials)

    def _off(self, part: float) -> list[float]:
        """Factors by which wire bytes and both costs are off."""
        noise = part * self._noise
        return [math.exp(noise * float(self._random.standard_normal())) for _ in range(3)]

    def _tried(self, candidate: Candidate, true: Figure, packet: Sequence[float]) -> Tried:
        """:param packet: how it differs from others, for all candidates."""
        own = self._off(OWN)
        # what does not compress does not at all
        wire = PACKET_BYTES * true.wire ** (packet[0] * own[0])
        encode = PACKET_BYTES * true.encode * packet[1] * own[1]
        return Tried(
            candidate, round(wire), encode, PACKET_BYTES * true.decode * packet[2] * own[2]
        )
