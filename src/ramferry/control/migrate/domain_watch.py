"""The loop that follows the migration of a libvirt domain to its end.

Who decides is libvirt: it starts the destination's QEMU with its guest standing still, lets it go
on only when all has come, and ends or resumes the source's by the same word. So ending a migration
is to abort libvirt's job, and where the guest is is what both daemons say in the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from ramferry.control.libvirt.bounded import Aside
from ramferry.control.libvirt.contract import PAUSED, RUNNING, Move, Stats
from ramferry.control.libvirt.end import LONGEST_LOOK, DomainEnd
from ramferry.control.libvirt.job import as_query_migrate
from ramferry.control.libvirt.places import WITHOUT, whereabouts
from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.cause import Complaint, Rank, failure, of_libvirt
from ramferry.control.migrate.left import Why
from ramferry.control.migrate.limits import (
    GRACE_SECONDS,
    LAST_WORDS_SECONDS,
    MOMENT_SECONDS,
    POLL_SECONDS,
    UNDO_SECONDS,
)
from ramferry.control.migrate.relays import Relays
from ramferry.control.migrate.result import sample_of
from ramferry.control.migrate.steering import Steering
from ramferry.errors import Cancelled, MigrationFailed, PeerTimeout, PeerUnreachable, RamferryError
from ramferry.patience import Patience

NEAR_SECONDS: Final = 10.0
"""How long the source may take to say where its guest is, after libvirt's job has ended: one that
was restarted says so within a second or two."""
FAR_SECONDS: Final = 5.0
"""How long the destination's libvirt may take to end its QEMU after that."""
_LOST: Final = "the destination's libvirt was lost"
_BY_CLIENT: Final = "canceled by client"
"""Words of libvirt's where somebody aborted its job."""


class DomainWatch:
    """Follows one migration, which it begins."""

    def __init__(
        self,
        source: DomainEnd,
        destination: DomainEnd,
        before: str,
        relays: Relays,
        hooks: Hooks,
        steering: Steering,
    ) -> None:
        """All of them are the caller's and outlive this object.

        :param before: the domain's state at the source.
        """
        self._steering = steering
        self._source, self._destination = source, destination
        self._before = before
        self._relays, self._hooks = relays, hooks
        self._said: set[str] = set()
        self._began = time.monotonic()
        self._why: Why | None = None
        self._told = False
        """True once libvirt has taken the wish to end the job."""
        self._undo: Patience | None = None
        """Counts from the first attempt to end the job."""
        self._moment: Patience | None = None
        """Counts from the second signal."""
        self.last: Stats = {}
        """The latest statistics of the job."""

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def run(self, move: Move, timeout: float | None, every: Callable[[Stats], None]) -> None:
        """Have libvirt migrate, and wait until that is through.

        :param timeout: seconds, in which this process ran, until the job is aborted.
        :param every: called in each turn with the job's statistics.
        :raise MigrationFailed: it failed; the sentence says where the guest is.
        :raise PeerUnreachable: a relay reached nobody; the same.
        :raise Cancelled: ``hooks.stop``, the timeout or somebody else aborted the job.
        :raise PeerTimeout: it is not decided where the guest is; the sentence says what was seen.
        """
        limit = None if timeout is None else Patience(timeout, longest_step=LONGEST_LOOK)
        name, near, far = self._source.name, self._source.connection, self._destination.connection
        self._began = time.monotonic()
        job = Aside(lambda: near.migrate(name, far, move), "libvirt migrates")
        try:
            self._follow(job, limit, every)
        except RamferryError:
            raise
        except BaseException:
            self._abandon(job)
            raise
        if job.error is None:
            if self._why is not None:
                self._hooks.on_note(f"too late to end the migration ({self._why.sentence})")
            return
        if not isinstance(job.error, RamferryError):
            raise job.error
        raise self._ended(job.error)

    def _follow(self, job: Aside, limit: Patience | None, every: Callable[[Stats], None]) -> None:
        while not job.wait(POLL_SECONDS):
            stats: Stats = {}
            with suppress(RamferryError):  # whoever is lost is told of by the job itself
                stats = self._source.ask(lambda near: near.job(self._source.name))
            if stats.get("memory_total"):
                self.last = stats
                info = as_query_migrate(stats, "active")
                self._steer(info)
            every(stats)
            self._end_if_needed(limit)

    def _steer(self, info: Mapping[str, Any]) -> None:
        """Show where it is, and decide what comes next."""
        sample = sample_of(info, self.elapsed, self._wire_bytes(), self._relays.choice)
        delivered = self._relays.delivered(self._began)
        sentence = self._steering.look(sample, delivered) if self._why is None else ""
        if sentence:
            self._why = Why(Cancelled, sentence, Patience(0.0))
        self._hooks.on_sample(self._steering.shown(sample))

    def _wire_bytes(self) -> int | None:
        counters = self._relays.counters("source")
        return None if counters is None else counters.bytes_out

    def _end_if_needed(self, limit: Patience | None) -> None:
        self._why = self._why or self._reason(limit)
        # a source that is held is told before its connections break
        if self._why is None or not (self._why.grace.over or self._relays.failing()):
            return
        self._undo = self._undo or Patience(UNDO_SECONDS, longest_step=LONGEST_LOOK)
        if not self._told:
            self._told = self._abort()
        asked = self._relays.asked_for() if self._why.kind is not Cancelled else 0.0
        if self._undo.spent > max(UNDO_SECONDS, asked + GRACE_SECONDS) or self._insists():
            raise self._left()

    def _reason(self, limit: Patience | None) -> Why | None:
        at_once, soon = Patience(0.0), Patience(GRACE_SECONDS)
        if self._hooks.stop.is_set():
            return Why(Cancelled, "cancelled", at_once)
        if limit is not None and limit.over:
            return Why(Cancelled, f"cancelled, not finished within {limit.seconds:g} s", at_once)
        if complaints := self._relays.complaints():
            return Why(MigrationFailed, complaints[0].clause, soon)
        if failing := self._relays.failing():
            return Why(MigrationFailed, failing.clause, at_once)
        if not self._destination.connection.alive:
            return Why(MigrationFailed, _LOST, soon)
        return None

    def _abort(self) -> bool:
        """Abort libvirt's job; False if it has to be tried again, as where none has begun yet."""
        try:
            self._source.ask(lambda near: near.abort(self._source.name))
        except RamferryError as error:
            if self._undo is not None and self._undo.spent > GRACE_SECONDS:
                self._say(f"libvirt does not end its job: {error}")
            return False
        return True

    def _say(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self._hooks.on_note(sentence)

    def _insists(self) -> bool:
        if self._hooks.insist.is_set():
            self._moment = self._moment or Patience(MOMENT_SECONDS)
        return self._moment is not None and self._moment.over

    def _left(self) -> PeerTimeout:
        """The error of a job that does not end and that is left to itself."""
        assert self._why is not None
        assert self._undo is not None
        near, far = self._source.look(), self._destination.look()
        late = f"libvirt's job has not ended {self._undo.spent:.1f} s later"
        clauses = [self._why.sentence, late, whereabouts(self._before, near, far)]
        if near != RUNNING:
            clauses += self._relays.let_be()
        return PeerTimeout("; ".join(clauses))

    def _abandon(self, job: Aside) -> None:
        """Whatever went wrong here, no job goes on with nobody watching it."""
        patience, told = Patience(UNDO_SECONDS, longest_step=LONGEST_LOOK), False
        while not job.wait(POLL_SECONDS) and not patience.over:
            told = told or self._abort()

    def _ended(self, error: RamferryError) -> RamferryError:
        """The error of a job that failed."""
        lost = not self._destination.connection.alive
        self._relays.wait_finished(LAST_WORDS_SECONDS)
        complaints = self._complaints(error, lost=lost)
        near, far = self._seen()
        place = whereabouts(self._before, near, far)
        if near is None or near in WITHOUT or far == RUNNING:
            return failure(complaints, place, moved=True)
        if near not in (RUNNING, self._before) and far not in WITHOUT:
            return failure(complaints, place, moved=True)
        if self._why is not None and self._why.kind is Cancelled:
            return Cancelled(f"{self._why.sentence}; {place}")
        if not self._told and _BY_CLIENT in str(error):
            return Cancelled(f"someone aborted libvirt's job; {place}")
        return failure(complaints, place)

    def _complaints(self, error: RamferryError, *, lost: bool) -> list[Complaint]:
        """What each relay says, and libvirt, or why its job was aborted from here.

        :param lost: whether the destination's daemon was.
        """
        complaints = self._relays.complaints()
        if not complaints and (failing := self._relays.failing()):
            complaints = [failing]
        if lost:
            complaints.append(Complaint(Rank.LIBVIRT_LOST, _LOST))
        if self._why is None or not self._told or _BY_CLIENT not in str(error):
            gone = isinstance(error, PeerUnreachable)
            return [*complaints, of_libvirt(str(error), gone=gone)]
        return complaints

    def _seen(self) -> tuple[str | None, str | None]:
        """Both daemons' words for the domain, once they have had time to put it in order."""
        insist = self._hooks.insist
        near = self._source.settle({self._before, RUNNING, *WITHOUT}, NEAR_SECONDS, insist)
        far = self._destination.settle({RUNNING, *WITHOUT}, FAR_SECONDS, insist)
        return near, far


def arrived(before: str, far: str | None) -> bool:
    """Whether a destination has the guest as it was: one that ran runs, another one stands."""
    return far == before or (before != RUNNING and far in (RUNNING, PAUSED))


def last_info(stats: Mapping[str, int], milliseconds: int) -> dict[str, Any]:
    """The last ``query-migrate`` of a migration that has completed.

    :param stats: of libvirt's job; it may lack everything.
    :param milliseconds: how long it took by our clock.
    """
    info = as_query_migrate(stats, "completed")
    info["total-time"] = info.get("total-time") or milliseconds
    info["ram"] = {"normal": 0, "duplicate": 0, **info["ram"]}
    return info
