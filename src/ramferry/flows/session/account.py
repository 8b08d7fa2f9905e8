"""What is told of a migration to those who watch: its counters, its downtime, how it ended."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

from ramferry.errors import Cancelled
from ramferry.flows.session.phase import Phase
from ramferry.metrics import RelayCounters
from ramferry.metrics.states import CANCELLED, COMPLETED, FAILED, UNDECIDED

if TYPE_CHECKING:
    from ramferry.flows.session.session import Session


class SwitchoverClock:
    """Measures a switchover."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self._ended: float | None = None

    def enter(self, phase: Phase) -> None:
        """A phase begins."""
        if phase is Phase.SWITCHOVER and self._begun is None:
            self._begun = time.monotonic()
        if phase is Phase.CONFIRMED and self._ended is None:
            self._ended = time.monotonic()

    @property
    def seconds(self) -> float | None:
        """Seconds from the moment in which ram's END was let go to the destination's SHUT; None if
        either has not come."""
        if self._begun is None or self._ended is None:
            return None
        return self._ended - self._begun


def snapshot(session: Session) -> RelayCounters:
    """All counters of a migration at this moment."""
    gate = session.gate
    return replace(
        session.tally.snapshot(gate.passed),
        state=session.phase.word,
        method_in=method_in(session),
        mark_seconds=gate.held_seconds,
        channel_wait_seconds=gate.followed_seconds,
    )


def uuid_of(session: Session) -> str:
    """The guest's UUID, as its multifd channels told it; empty if there was none."""
    return str(UUID(bytes=session.uuid)) if any(session.uuid) else ""


def method_in(session: Session) -> str:
    """As ``RelayResult.method_in``: a plain stream that its source sends is not compressed."""
    return session.method_in or ("none" if session.plain.chosen else "")


def outcome_of(session: Session) -> str:
    """How a migration has ended: one of ``metrics.states.OUTCOMES``."""
    if session.phase is Phase.CONFIRMED:
        return COMPLETED
    if session.switched and session.taken is not False:
        return UNDECIDED
    return CANCELLED if isinstance(session.error, Cancelled) else FAILED
