"""The loop that follows a migration to its end, and the error that says how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.cause import Complaint, Rank, failure, of_far_relay, of_words
from ramferry.control.migrate.ending import FOLLOW_SECONDS, Ending
from ramferry.control.migrate.left import Seen, Why, left_sentence, undecided_sentence
from ramferry.control.migrate.limits import (
    GRACE_SECONDS,
    LAST_WORDS_SECONDS,
    LONGEST_LOOK,
    LOST_SECONDS,
    MOMENT_SECONDS,
    POLL_SECONDS,
    SWITCH_SECONDS,
    TIMES_SECONDS,
    UNDO_SECONDS,
)
from ramferry.control.migrate.pausing import Pause
from ramferry.control.migrate.qemu_hands import QemuHands
from ramferry.control.migrate.relays import Relays
from ramferry.control.migrate.result import sample_of, wire_bytes_of
from ramferry.control.migrate.steering import Steering
from ramferry.control.migrate.wish import Wish
from ramferry.control.qemu.asides import ASIDE_SECONDS
from ramferry.control.qemu.end import GOING_SECONDS, QemuEnd
from ramferry.control.qemu.status import ENDED, GONE, STANDING, Phase, phase_of, whereabouts
from ramferry.errors import (
    Cancelled,
    MigrationFailed,
    PeerTimeout,
    PeerUnreachable,
    RamferryError,
)
from ramferry.patience import Patience


class Watch:
    """Follows one migration from the moment that the source was told to begin."""

    def __init__(
        self,
        source: QemuEnd,
        destination: QemuEnd,
        relays: Relays,
        wish: Wish,
        hooks: Hooks,
    ) -> None:
        """All of them are the caller's and outlive this object."""
        self._source = source
        self._destination = destination
        self._relays = relays
        self._wish = wish
        self._hooks = hooks
        self.pause = Pause(source, destination, hooks.on_note)
        self._ending = Ending(source, destination, hooks.on_note, self.pause)
        hands = QemuHands(self._tell, self.pause)
        self.steering = Steering(wish, hands, hooks.on_note)
        self._began = time.monotonic()
        self._why: Why | None = None
        self._told = False
        """True once the source was told to cancel."""
        self._undo: Patience | None = None
        """Counts from the first attempt to end the migration; None before."""
        self._moment: Patience | None = None
        """Counts from the second signal; None before."""
        self._standing: Patience | None = None
        """Counts from when the guest stands still for the switchover; None before."""
        self._switched = False
        """True once the guest stood still for the switchover, even if it runs again."""

    def until_completed(self, timeout: float | None) -> Mapping[str, Any]:
        """Wait for the source's "completed" and return its last ``query-migrate``.

        :param timeout: seconds, in which this process ran, until the migration is cancelled.
        :raise MigrationFailed: it failed; the sentence says where the guest is.
        :raise PeerUnreachable: nobody was reached where a relay or the source connects; the same.
        :raise Cancelled: ``hooks.stop``, the timeout or someone at the source ended it.
        :raise PeerUnreachable: the source vanished.
        :raise PeerTimeout: the source does not answer, or the switchover is not decided; the
            sentence says what was seen of both ends.
        """
        limit = None if timeout is None else Patience(timeout, longest_step=LONGEST_LOOK)
        try:
            return self._follow(limit)
        except RamferryError:
            raise
        except BaseException:
            # Whatever went wrong here, no migration goes on with nobody watching it.
            self._abandon()
            raise

    def _follow(self, limit: Patience | None) -> Mapping[str, Any]:
        while True:
            info = self._ask()
            status = str(info.get("status", "none"))
            phase = phase_of(status)
            if phase is Phase.COMPLETED:
                self._ending.release()
                if self._why is not None:
                    self._hooks.on_note(f"too late to end the migration ({self._why.sentence})")
                return self._with_times(info)
            if phase is Phase.FAILED:
                raise self._ended(info)
            if phase is Phase.PAUSED and self._why is None:
                self._tell("migrate-continue", {"state": "pre-switchover"})
            self._steer(info, phase)
            self._end_if_needed(limit, status)
            self._look_closer(self._source.events(POLL_SECONDS), phase)

    def _steer(self, info: Mapping[str, Any], phase: Phase) -> None:
        """Show where it is, and decide what comes next as long as memory moves."""
        sample = sample_of(info, self._elapsed(), self._wire_bytes(info), self._relays.choice)
        moves = phase is Phase.MOVING and sample.total_bytes and not self._switched
        if moves and self._why is None:
            delivered = self._relays.delivered(self._began)
            if sentence := self.steering.look(sample, delivered):
                self._why = Why(Cancelled, sentence, Patience(0.0))
        self._hooks.on_sample(self.steering.shown(sample))

    def _look_closer(self, events: list[str], phase: Phase) -> None:
        """Notice the switchover; if it lasts, see whether the destination has the guest."""
        if self.pause.asked:  # it stood still before, and no event tells
            stands = phase is Phase.SWITCHING or self._source.look() in STANDING
        else:
            stands = "STOP" in events or phase is Phase.SWITCHING
        self._switched = self._switched or stands
        if "RESUME" in events:
            self._standing = None
        elif stands and self._standing is None:
            self._standing = Patience(SWITCH_SECONDS, longest_step=LONGEST_LOOK)
        if self._standing is None or not self._standing.over:
            return
        holder = self._ending.holder
        far = self._ending.look()
        if self._source.look() not in STANDING:
            # the two looks were not of one moment: the source may have gone on before
            self._standing, self._ending.holder = None, holder
            return
        self._ending.say(
            f"the switchover takes long: the guest stands still at the source, and the destination "
            f"{f'is {far}' if far else 'does not answer'}"
        )

    def _with_times(self, info: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask again until the times are there: QEMU adds them up a moment after "completed"."""
        patience = Patience(TIMES_SECONDS)
        while not info.get("total-time") and not patience.over:
            self._source.wait_for_event(POLL_SECONDS)
            info = self._ask()
        return info

    def _tell(self, command: str, arguments: Mapping[str, object] | None = None) -> None:
        """Send the source a command. If it fails, note that only: the next ``query-migrate`` shows
        what holds."""
        try:
            self._source.execute(command, arguments)
        except RamferryError as error:
            self._ending.say(str(error))

    def _abandon(self) -> None:
        """Cancel as soon as that is safe, and wait for the source's final status."""
        patience = Patience(UNDO_SECONDS, longest_step=LONGEST_LOOK)
        told = False
        while self._ask().get("status") not in ENDED and not patience.over:
            told = told or self._ending.attempt("the command failed")
            self._source.wait_for_event(POLL_SECONDS)
        if self._ask().get("status") == "completed":
            self._ending.release()
        else:
            self._ending.settle(switched=self._switched)

    def _ask(self) -> Mapping[str, Any]:
        """``query-migrate`` of the source; if its monitor was lost, look for it first."""
        patience = Patience(LOST_SECONDS, longest_step=LONGEST_LOOK)
        while True:
            try:
                info: Mapping[str, Any] = self._source.execute("query-migrate")
            except PeerTimeout as error:
                raise self._without_source(error, self._source.look()) from error
            except PeerUnreachable as error:
                if (state := self._source.look()) is None:
                    self._ending.say(f"{error}: looking for it")
                    state = self._source.find(patience, self._hooks.insist)
                if state == GONE or patience.over or self._hooks.insist.is_set():
                    raise self._without_source(error, state) from error
            else:
                return info

    def _without_source(self, error: RamferryError, state: str | None) -> RamferryError:
        if self._standing is not None:
            self._relays.let_be()
        near = GONE if state == GONE else None
        # one that ends with its source has lost its connection a moment before it is gone
        going = Patience(GOING_SECONDS, longest_step=ASIDE_SECONDS)
        self._destination.find(going, self._hooks.insist)
        if near == GONE and not self._hooks.insist.is_set():
            # one that has all may be loading; one that lacks the rest ends within that time
            self._destination.settle_in(FOLLOW_SECONDS)
        return type(error)(f"{error}; {whereabouts(self._before, near, self._ending.look())}")

    @property
    def _before(self) -> str:
        return self._source.facts.run_state

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _wire_bytes(self, info: Mapping[str, Any]) -> int | None:
        relays = self._relays
        near, far = relays.counters("source"), relays.counters("destination")
        return wire_bytes_of(info, self._source.facts, self._wish.method, near, far)

    def _end_if_needed(self, limit: Patience | None, status: str) -> None:
        """Find a reason to end the migration; act on it once its grace has passed."""
        self._why = self._why or self._reason(limit)
        if self._why is None or not self._why.grace.over:
            return
        self._undo = self._undo or Patience(UNDO_SECONDS, longest_step=LONGEST_LOOK)
        if not self._told:
            self._told = self._ending.attempt(self._why.sentence)
        if self._out_of_time(self._why, self._undo) or self._insists():
            raise self._left(status)

    def _out_of_time(self, why: Why, undo: Patience) -> bool:
        """Whether nobody is waited for any more: the migration had time to end, and so had relays
        that find out how its switchover ended; or they have given that up."""
        if self._relays.undecided() and (not self._told or self._ending.refused):
            return True
        asked = self._relays.asked_for() if why.kind is not Cancelled else 0.0
        return undo.spent > max(UNDO_SECONDS, asked + GRACE_SECONDS)

    def _insists(self) -> bool:
        """Whether a second signal came and ``MOMENT_SECONDS`` have passed since."""
        if self._hooks.insist.is_set():
            self._moment = self._moment or Patience(MOMENT_SECONDS)
        return self._moment is not None and self._moment.over

    def _left(self, status: str) -> PeerTimeout:
        """The error of a migration that does not end and that is left to itself."""
        assert self._why is not None
        assert self._undo is not None
        near, far = self._source.look(), self._ending.look()
        seen = Seen(self._before, near, far, self._ending.barred)
        stands = seen.near is None or seen.near in STANDING
        if stands and (undecided := self._relays.undecided()):
            self._relays.let_be()
            return PeerTimeout(undecided_sentence(self._why.sentence, undecided, seen))
        late = f"the source is still {status} {self._undo.spent:.1f} s later"
        late += ", after migrate_cancel" if self._told else ""
        advice = []
        if self._ending.may_be_barred:
            advice.append("once the source is postmigrate, `cont` the guest at the destination")
        if stands:
            advice += [*self._relays.let_be(), *self._ending.advice()]
        return PeerTimeout(left_sentence(self._why.sentence, late, seen, advice))

    def _reason(self, limit: Patience | None) -> Why | None:
        at_once, soon = Patience(0.0), Patience(GRACE_SECONDS)
        if self._hooks.stop.is_set():
            return Why(Cancelled, "cancelled", at_once)
        if limit is not None and limit.over:
            return Why(Cancelled, f"cancelled, not finished within {limit.seconds:g} s", at_once)
        if complaints := self._relays.complaints():
            return Why(MigrationFailed, complaints[0].clause, soon)
        if not self._destination.connected:
            # a monitor that can be had again is no QEMU that ended
            far = self._ending.look()
            if far == GONE:
                return Why(MigrationFailed, "the destination QEMU ended", soon)
            self._ending.say("the connection to the destination's monitor was lost")
        return None

    def _ended(self, info: Mapping[str, Any]) -> RamferryError:
        """The error of a migration whose source keeps the guest."""
        place = self._ending.settle(switched=self._switched)
        if self._ending.moved:
            return failure(self._complaints(info), place, moved=True)
        if self._why is not None and self._why.kind is Cancelled:
            return Cancelled(f"{self._why.sentence}; {place}")
        if info.get("status") == "cancelled" and self._why is None:
            return Cancelled(f"someone cancelled the migration at the source; {place}")
        return failure(self._complaints(info), place)

    def _complaints(self, info: Mapping[str, Any]) -> list[Complaint]:
        """What each QEMU and relay says went wrong."""
        self._relays.wait_finished(LAST_WORDS_SECONDS)
        complaints = self._relays.complaints()
        complaints += of_words(str(info.get("error-desc", "")), self._destination.error())
        if self._wish.via:
            complaints = of_far_relay(self._wish.via, complaints)
        if not self._destination.connected and self._destination.look() == GONE:
            complaints.append(Complaint(Rank.DESTINATION_ENDED, "the destination QEMU ended"))
        return complaints
