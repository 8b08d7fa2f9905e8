"""Steers one migration while its memory moves: how long the guest may stand still, and what is done
if the migration stalls.

It decides by samples alone, the same for a QEMU and for a libvirt domain; what is done there is
done by ``Hands``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from ramferry.control.migrate.in_flight import Delivered, InFlight
from ramferry.control.migrate.on_stall import OnStall
from ramferry.control.migrate.ramp import Ramp
from ramferry.control.migrate.rounds import Rounds
from ramferry.control.migrate.stalling import Stall, StallWatch
from ramferry.control.migrate.wish import Wish
from ramferry.forecast.eta import MigrationSample
from ramferry.metrics.stalled import Stalled

_WAITS: Final = (
    "waiting on, since it may yet end; --on-stall throttle, pause or cancel does something about it"
)
_AGAIN: Final = 0.1
"""A limit is told anew once it differs by this share from the one that was told."""


class Hands(Protocol):
    """What is done to the source. Nothing of it raises: what fails is noted."""

    def limit(self, milliseconds: int) -> None:
        """Have the guest stand still for so long at most."""

    def throttle(self) -> str:
        """Have the guest slowed down while it writes faster than it moves; a clause that says what
        was done."""

    def pause(self) -> str:
        """Stop the guest, so that the rest moves; a clause that says what was done."""


class Steering:
    """Decides, and has it done."""

    def __init__(
        self,
        wish: Wish,
        hands: Hands,
        note: Callable[[str], None],
        *,
        told: bool = True,
    ) -> None:
        """
        :param hands: the source's.
        :param note: called with what a person should know.
        :param told: whether the source began with the ramp's first limit.
        """
        self._wish_ms, self._on_stall = wish.downtime_limit_ms, wish.on_stall
        self._hands, self._note = hands, note
        self._ramp, self._rounds, self._flight = Ramp(self._wish_ms), Rounds(), InFlight()
        self._stalls = StallWatch(wish.stall_seconds)
        self._told_ms = self._ramp.step_ms if told else 0
        self._stall: Stall | None = None
        self._loss = (0.0, 0, 0.0)
        """Seconds of the guest's time that were taken, the last and the highest share in %."""
        self._looked = 0.0

    def look(self, sample: MigrationSample, delivered: Delivered | None) -> str:
        """Take in the newest sample of a migration that moves memory.

        :param delivered: what has come out of the relays.
        :return: why the migration is to be cancelled, as a clause; empty if it is not.
        """
        self._count_loss(sample)
        self._flight.take(sample.seconds, sample.normal_bytes, delivered)
        another = self._rounds.take(sample)
        self._ramp.look(sample, self._rounds, self._flight_ms)
        self._tell_limit()
        if self._stall is None:
            full = self._ramp.full or self._least_ms > self._wish_ms
            self._stall = self._stalls.look(
                sample.seconds, self._rounds, another=another, full=full
            )
            return "" if self._stall is None else self._act(self._stall)
        return ""

    def shown(self, sample: MigrationSample) -> MigrationSample:
        """The sample with what is known here, for whoever shows it."""
        return replace(sample, downtime_limit_ms=self._ramp.step_ms)

    @property
    def limit_ms(self) -> int:
        """How long the guest may stand still by now."""
        return self._ramp.step_ms

    @property
    def stalled(self) -> Stalled | None:
        """What was done about a stall; None if there was none."""
        if self._stall is None:
            return None
        lost, _, most = self._loss
        return Stalled(
            self._on_stall.value,
            round(self._stall.seconds, 3),
            self._stall.left_bytes,
            round(lost, 3),
            round(most),
        )

    @property
    def _flight_ms(self) -> float:
        rate = self._rounds.rate
        return self._flight.bytes / rate * 1000 if rate else 0.0

    @property
    def _least_ms(self) -> float:
        rate = self._rounds.rate
        return self._rounds.least / rate * 1000 + self._flight_ms if rate else 0.0

    def _tell_limit(self) -> None:
        wanted = self._ramp.told_ms(self._flight_ms)
        if abs(wanted - self._told_ms) > self._told_ms * _AGAIN:
            self._told_ms = wanted
            self._hands.limit(wanted)

    def _count_loss(self, sample: MigrationSample) -> None:
        """A share of each second, as QEMU told it at the last look, is taken from the guest."""
        lost, share, most = self._loss
        lost += (sample.seconds - self._looked) * share / 100
        self._looked = sample.seconds
        self._loss = (lost, sample.throttle_percent, max(most, sample.throttle_percent))

    def _act(self, stall: Stall) -> str:
        """Do what was asked for; return why the migration is to be cancelled."""
        sentence = f"the migration stalls: {stall.sentence(self._stalls.window)}"
        if self._on_stall is OnStall.CANCEL:
            return f"cancelled, as {sentence}"
        done = {
            OnStall.WAIT: lambda: _WAITS,
            OnStall.THROTTLE: self._hands.throttle,
            OnStall.PAUSE: self._hands.pause,
        }[self._on_stall]()
        self._note(f"{sentence}; {done}")
        return ""
