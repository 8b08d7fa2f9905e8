"""How long a QEMU may have its guest stand still: little at first, what was asked for in the end.
Pure.

QEMU stops its guest as soon as what is left would be sent within ``downtime-limit``, even if a
moment later nearly nothing would be left: with 300 ms an idle guest stands still for 300 ms. So the
limit begins at a tenth of what was asked for, and goes up in steps once what is left stops
shrinking, or once a guest that would have gone by now has taken a little more time than it would
have.

What has left QEMU and has not arrived (packets in its channels, in relays, in the kernel's queues)
is downtime too, and QEMU does not see it. It is taken off what QEMU is told. Where that alone keeps
a guest from ever going, although what is left fits the wish, it is given back.
"""

from __future__ import annotations

from typing import Final

from ramferry.control.migrate.rounds import Rounds
from ramferry.forecast.eta import MigrationSample

SHARE: Final = 10
"""The first limit is the wish over this."""
LEAST_MS: Final = 20
"""No first limit is less, unless the wish is: QEMU measures rates over 100 ms."""
STEPS: Final = 5
"""From the first limit to the wish, each by the same factor."""

WINDOW_SECONDS: Final = 1.0
WINDOW_SHARE: Final = 0.01
"""What is left has stopped shrinking if it was no less for so many seconds, or for this share of
the time so far if that is longer, and …"""
WINDOW_ROUNDS: Final = 2
"""… for so many rounds."""

EXTRA_SHARE: Final = 0.03
"""How much longer, for a shorter downtime, than with the whole wish from the beginning."""

GIVEN: Final = 2
"""In so many parts what is under way is given back, each after ``WINDOW_ROUNDS`` with no less and
``GIVE_SECONDS``."""
GIVE_SECONDS: Final = 0.5

SETTLE_SECONDS: Final = 0.25
"""QEMU heeds a new limit within 0.1 s, and the next round is to show what came of it."""


def steps(wish_ms: int) -> tuple[int, ...]:
    """The limits in ms, from the first one to the wish."""
    first = min(wish_ms, max(LEAST_MS, wish_ms // SHARE))
    if first == wish_ms:
        return (wish_ms,)
    factor = (wish_ms / first) ** (1 / STEPS)
    between = (round(first * factor**step) for step in range(1, STEPS))
    return tuple(sorted({first, *between, wish_ms}))


def first_limit(wish_ms: int) -> int:
    """With what a migration begins, in ms."""
    return steps(wish_ms)[0]


class Ramp:
    """The limit of one migration."""

    def __init__(self, wish_ms: int) -> None:
        self._steps = steps(wish_ms)
        self._at = 0
        self._changed = (0.0, 0)
        """When it went up last, in the samples' seconds, and in which round."""
        self._given = 0
        """How many parts of what is under way are no longer taken off."""
        self._fitted_at: float | None = None
        """When the guest would have gone with the whole wish."""

    @property
    def step_ms(self) -> int:
        """How long the guest may stand still by now."""
        return self._steps[self._at]

    @property
    def full(self) -> bool:
        """Whether that is the wish."""
        return self._at == len(self._steps) - 1

    def told_ms(self, flight_ms: float) -> int:
        """What QEMU is to be told: never less than the first step.

        :param flight_ms: what is under way, in ms of the rate.
        """
        return max(self._steps[0], round(self.step_ms - flight_ms * (1 - self._given / GIVEN)))

    def look(self, sample: MigrationSample, rounds: Rounds, flight_ms: float) -> None:
        """Go up, if that is due.

        :param rounds: has taken the sample.
        :param flight_ms: as ``told_ms`` takes it.
        """
        if rounds.number < 2 or not rounds.rate:
            return
        now = sample.seconds
        left = rounds.begun_with / rounds.rate * 1000
        needed = left if left <= self._steps[0] else left + flight_ms
        if left > self._steps[-1]:
            self._fitted_at = None
        elif self._fitted_at is None:
            self._fitted_at = now
        then, round_then = self._changed
        if now - then < SETTLE_SECONDS or rounds.number <= round_then:
            return
        if self.full:
            self._give_back(now, left, rounds)
        elif self._stands(now, rounds) or self._takes_too_long(now, needed):
            self._raise(needed)
            self._changed = (now, rounds.number)

    def _stands(self, now: float, rounds: Rounds) -> bool:
        """Whether what is left has stopped shrinking, by the least of a window."""
        seconds, begun = rounds.stands_for(now)
        since = min(seconds, now - self._changed[0])
        window = max(WINDOW_SECONDS, now * WINDOW_SHARE)
        return begun >= WINDOW_ROUNDS and since >= window

    def _takes_too_long(self, now: float, needed: float) -> bool:
        """Whether one more round costs more time than a short downtime is worth."""
        if self._fitted_at is None or needed <= self.step_ms:
            return False
        extra = now - self._fitted_at + needed / 1000
        return extra > self._fitted_at * EXTRA_SHARE

    def _raise(self, needed: float) -> None:
        """To the next step, or further, to the one that does if there is one."""
        self._at += 1
        enough = [at for at, step in enumerate(self._steps) if step >= needed]
        if enough or self._fitted_at is not None:
            self._at = max(self._at, *enough[:1] or [len(self._steps) - 1])

    def _give_back(self, now: float, left: float, rounds: Rounds) -> None:
        """Take less off, if that alone keeps the guest here."""
        then, round_then = self._changed
        _, begun = rounds.stands_for(now)
        stands = min(begun, rounds.number - round_then) >= WINDOW_ROUNDS
        if stands and now - then >= GIVE_SECONDS and left <= self.step_ms and self._given < GIVEN:
            self._given += 1
            self._changed = (now, rounds.number)
