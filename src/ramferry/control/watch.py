"""The loop that sees a migration to its end, and the words for how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ramferry.control.blame import Complaint, Rank, failure_sentence
from ramferry.control.end import QemuEnd
from ramferry.control.hooks import Hooks
from ramferry.control.measure import sample_of, wire_bytes_of
from ramferry.control.relays import Relays
from ramferry.control.status import ENDED, GONE, Phase, phase_of, whereabouts
from ramferry.errors import (
    Cancelled,
    MethodUnavailable,
    MigrationFailed,
    PeerTimeout,
    PeerUnreachable,
    RamferryError,
)

POLL_SECONDS = 0.2

GRACE_SECONDS = 3.0
"""How long the source may take to notice by itself that a relay or the destination is gone
(within 0.25 s where a relay resets its connection, wire facts §1) before it is told to cancel."""

UNDO_SECONDS = 30.0
"""How long ``migrate_cancel`` may take."""

LAST_WORDS_SECONDS = 1.0
"""How long a relay may take to say why a migration failed; one that nobody reached says nothing."""

TIMES_SECONDS = 2.0
"""How long a source that has completed may take to tell its total time and downtime."""

RESUME_SECONDS = 10.0
"""How long the source's guest may take to run again after a failed migration."""


@dataclass(frozen=True, slots=True)
class Why:
    """What made the orchestrator end a migration."""

    kind: type[RamferryError]
    sentence: str
    since: float
    """``time.monotonic``."""

    @property
    def grace(self) -> float:
        """Seconds until the source is told."""
        return 0.0 if self.kind is Cancelled else GRACE_SECONDS


class Watch:
    """Follows one migration that the source was told to begin."""

    def __init__(
        self,
        source: QemuEnd,
        destination: QemuEnd,
        relays: Relays,
        method: str,
        hooks: Hooks,
    ) -> None:
        """All of them are the caller's and outlive this object."""
        self._source = source
        self._destination = destination
        self._relays = relays
        self._method = method
        self._hooks = hooks
        self._began = time.monotonic()
        self._why: Why | None = None
        self._told = 0.0
        """When the source was told to cancel; 0 before."""

    def until_completed(self, timeout: float | None) -> Mapping[str, Any]:
        """Wait for the source's "completed"; its last ``query-migrate``.

        :param timeout: seconds until the migration is cancelled.
        :raise MigrationFailed: it failed; the guest's place is in the sentence.
        :raise Cancelled: ``hooks.stop``, the timeout or someone at the source ended it.
        :raise PeerUnreachable: the source vanished.
        :raise PeerTimeout: the source does not answer.
        """
        try:
            return self._follow(timeout)
        except RamferryError:
            raise
        except BaseException:
            # Whatever went wrong here, no migration goes on with nobody watching it.
            self._abandon()
            raise

    def _follow(self, timeout: float | None) -> Mapping[str, Any]:
        while True:
            info = self._ask()
            phase = phase_of(info.get("status", "none"))
            if phase is Phase.COMPLETED:
                if self._why is not None:
                    self._hooks.on_note(f"too late to end the migration ({self._why.sentence})")
                return self._with_times(info)
            if phase is Phase.FAILED:
                raise self._ended(info)
            if phase is Phase.PAUSED:
                self._tell("migrate-continue", {"state": "pre-switchover"})
            self._hooks.on_sample(sample_of(info, self._elapsed(), self._wire_bytes(info)))
            self._end_if_needed(timeout, str(info.get("status", "none")))
            self._source.wait_for_event(POLL_SECONDS)

    def _with_times(self, info: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask again where "completed" came first: QEMU adds up its times a moment later."""
        deadline = time.monotonic() + TIMES_SECONDS
        while not info.get("total-time") and time.monotonic() < deadline:
            self._source.wait_for_event(POLL_SECONDS)
            info = self._ask()
        return info

    def _tell(self, command: str, arguments: Mapping[str, object] | None = None) -> None:
        """A command that QEMU refuses where its status changed meanwhile: the next look shows."""
        try:
            self._source.execute(command, arguments)
        except MethodUnavailable as error:
            self._hooks.on_note(str(error))

    def _abandon(self) -> None:
        """Cancel, and wait until the source is through."""
        self._tell("migrate_cancel")
        deadline = time.monotonic() + UNDO_SECONDS
        while self._ask().get("status") not in ENDED and time.monotonic() < deadline:
            self._source.wait_for_event(POLL_SECONDS)

    def _ask(self) -> Mapping[str, Any]:
        try:
            info: Mapping[str, Any] = self._source.execute("query-migrate")
        except (PeerUnreachable, PeerTimeout) as error:
            place = whereabouts(self._before, None, self._far_state())
            raise type(error)(f"{error}; {place}") from error
        return info

    def _far_state(self) -> str | None:
        state = self._destination.run_state()
        return state if state or self._destination.connected else GONE

    @property
    def _before(self) -> str:
        return self._source.facts.run_state

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _wire_bytes(self, info: Mapping[str, Any]) -> int | None:
        relays = self._relays
        near, far = relays.counters("source"), relays.counters("destination")
        return wire_bytes_of(info, self._source.facts, self._method, near, far)

    def _end_if_needed(self, timeout: float | None, status: str) -> None:
        """Find a reason to end the migration; act on it once its grace has passed."""
        self._why = self._why or self._reason(timeout)
        if self._why is None:
            return
        now = time.monotonic()
        if not self._told and now - self._why.since >= self._why.grace:
            self._told = now
            self._tell("migrate_cancel")
        elif self._told and now - self._told > UNDO_SECONDS:
            place = whereabouts(self._before, self._source.run_state(), self._far_state())
            raise PeerTimeout(
                f"{self._why.sentence}; {UNDO_SECONDS:g} s after migrate_cancel the source is"
                f" still {status}; {place}"
            )

    def _reason(self, timeout: float | None) -> Why | None:
        now = time.monotonic()
        if self._hooks.stop.is_set():
            return Why(Cancelled, "cancelled", now)
        if timeout is not None and self._elapsed() > timeout:
            return Why(Cancelled, f"cancelled, not finished within {timeout:g} s", now)
        if complaints := self._relays.complaints():
            return Why(MigrationFailed, complaints[0].clause, now)
        if not self._destination.connected:
            return Why(MigrationFailed, "the destination QEMU ended", now)
        return None

    def _ended(self, info: Mapping[str, Any]) -> RamferryError:
        """The error of a migration whose source keeps the guest."""
        place = self._settle()
        if self._why is not None and self._why.kind is Cancelled:
            return Cancelled(f"{self._why.sentence}; {place}")
        if info.get("status") == "cancelled" and self._why is None:
            return Cancelled(f"someone cancelled the migration at the source; {place}")
        return MigrationFailed(failure_sentence(self._complaints(info), place))

    def _complaints(self, info: Mapping[str, Any]) -> list[Complaint]:
        """What each station says went wrong."""
        self._relays.wait_finished(LAST_WORDS_SECONDS)
        complaints = self._relays.complaints()
        if words := str(info.get("error-desc", "")).rstrip("."):
            complaints.append(Complaint(Rank.SOURCE_SAYS, f"the source says: {words}"))
        if words := self._destination.error():
            complaints.append(Complaint(Rank.DESTINATION_SAYS, f"the destination says: {words}"))
        if not self._destination.connected:
            complaints.append(Complaint(Rank.DESTINATION_ENDED, "the destination QEMU ended"))
        return complaints

    def _settle(self) -> str:
        """Wait until the source's guest is as before; a clause that says where the guest is.

        Where an end was lost at the worst moment, both guests can run (wire facts §1 rule 7):
        the destination's is stopped, since the source's is the one that goes on.
        """
        state = self._source.settle(lambda state: state == self._before, RESUME_SECONDS)
        far = self._far_state()
        place = whereabouts(self._before, state, far)
        if far != "running" or state is None:
            return place
        try:
            self._destination.execute("stop")
        except RamferryError as error:
            return f"{place}; a copy of it runs at the destination, end that at once: {error}"
        return f"{place}; it had begun to run at the destination too, and was stopped there"
