"""The course of one save, from the receiver's start to the result or the error.

What counts is whether the file has its name. A failure before that leaves no file and the guest as
it was; after that nothing can be cancelled.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any, Final

from ramferry.control.archive.callbacks import ArchiveHooks
from ramferry.control.archive.convergence import PATIENT_ROUNDS, WHAT_HELPS, Convergence
from ramferry.control.archive.disks import disks_for_overlays
from ramferry.control.archive.free_space import nearly_full
from ramferry.control.archive.incoming import Incoming
from ramferry.control.archive.overlays import DiskSnapshot
from ramferry.control.archive.saved_guest import SavedGuest
from ramferry.control.archive.wish import SaveWish
from ramferry.control.hosts.contract import SharedFolder
from ramferry.control.qemu.end import QemuEnd
from ramferry.control.qemu.status import ENDED, Phase, phase_of
from ramferry.errors import (
    Cancelled,
    HostError,
    MethodUnavailable,
    MigrationFailed,
    PeerTimeout,
    PeerUnreachable,
    RamferryError,
    RemoteProtocolError,
    UsageError,
)
from ramferry.flows.ends.archive_sink import ArchiveSink
from ramferry.flows.settings import ReceiveSettings
from ramferry.metrics import ArchiveResult
from ramferry.patience import Patience
from ramferry.transport.safefile import SafeFile

POLL_SECONDS = 0.05
LOOK_SECONDS = 0.5  # each takes 3 ms of a compressing core
"""Seconds between two looks at a QEMU if no event comes."""
LAST_WORDS_SECONDS = 3.0
"""How long the receiver may take to notice by itself that the QEMU's migration has ended."""
_OF_A_LOST_QEMU: Final = (MigrationFailed, PeerUnreachable, RemoteProtocolError)
"""Errors of a QEMU that ends: its connections break in any order, even within a packet."""


class SaveCourse:
    """One save of one QEMU's guest; call ``run`` once."""

    def __init__(
        self,
        source: QemuEnd,
        wish: SaveWish,
        hooks: ArchiveHooks,
        file: SafeFile,
        sink: ArchiveSink,
        settings: ReceiveSettings,
        snapshot: DiskSnapshot,
        guest: SavedGuest,
        folder: SharedFolder,
    ) -> None:
        """All of them stay the caller's. The QEMU's settings must have been applied."""
        self._source = source
        self._wish = wish
        self._hooks = hooks
        self._file = file
        self._sink = sink
        self._snapshot = snapshot
        self._guest = guest
        self._folder = folder
        self._gives_back = settings.give_back
        self._incoming = Incoming(settings, sink, hooks.note)
        self._convergence = Convergence()
        self._patience = None if wish.timeout is None else Patience(wish.timeout)
        self._told = 0
        """Bytes of the file when a person was last told that it does not converge."""
        self._begun = False
        """True once the QEMU was told to migrate."""
        self._why: RamferryError | None = None
        """Why the receiver was stopped; None if it was not."""

    def run(self) -> ArchiveResult:
        """Save; the file has its name when this returns.

        :raise RamferryError: it failed; the text says if there is a file, and where the guest is.
        """
        try:
            return self._save()
        except RamferryError as error:
            raise self._snapshot.told(error) from error

    def _save(self) -> ArchiveResult:
        begun, cpu = time.monotonic(), time.process_time()
        try:
            with self._incoming:
                try:
                    self._begin()
                    self._watch()
                except RamferryError as error:
                    self._end(error)
        except BaseException:
            if not self._file.committed:
                with suppress(RamferryError):
                    self._guest.undo()
            raise
        if not self._file.committed:
            raise self._failure()
        info = self._end_of_source()
        return self._result(info, time.monotonic() - begun, time.process_time() - cpu)

    def _begin(self) -> None:
        if self._wish.stop:
            self._guest.stop()
        self._folder.hand_over()
        self._source.execute("migrate", {"uri": f"unix:{self._folder.path}/save"})
        self._begun = True

    def _end(self, why: RamferryError) -> None:
        """Stop the receiver, unless the file is being given its name; the first reason stays."""
        if self._why is None:
            self._why = why
            self._incoming.stop(str(why))

    # --- while it is under way

    def _watch(self) -> None:
        """Wait until the receiver has ended."""
        look_at = 0.0
        while self._incoming.runs:
            if self._gives_back and self._file.committed:
                self._guest.cancel()
            elif self._hooks.stop.is_set():
                self._end(Cancelled("cancelled"))
            elif self._patience is not None and self._patience.over:
                self._end(Cancelled(f"cancelled, not finished within {self._wish.timeout:g} s"))
            elif (lost := self._guest.lost()) is not None:
                self._end(lost)
            elif time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_SECONDS
                self._look()
            if self._incoming.counters is not None:
                self._hooks.progress(self._incoming.counters, self._sink.size)
            if self._file.committed:
                self._incoming.join(POLL_SECONDS)  # its end is no event
            elif self._source.wait_for_event(POLL_SECONDS):
                look_at = 0.0

    def _look(self) -> None:
        info = self._source.execute("query-migrate")
        status = str(info.get("status", "none"))
        if status in ENDED - {"completed"}:
            # its connections tell the receiver; one that never came would not
            self._incoming.join(LAST_WORDS_SECONDS)
            self._end(_ended_by_itself(status, info))
        elif phase_of(status) is Phase.PAUSED and self._snapshot.due:
            self._switch_over(status)
        else:
            self._judge(info)

    def _judge(self, info: dict[str, Any]) -> None:
        """See whether the save comes to an end; if it does not, stop the guest if that is
        allowed."""
        convergence, counters = self._convergence, self._incoming.counters
        if counters is None or self._guest.since is not None:
            return
        convergence.look(info, counters.normal_bytes, time.monotonic())
        limit = self._wish.stop_after
        if limit is not None and convergence.stalled >= limit:
            figures = convergence.figures(self._sink.size)
            if self._guest.stop():
                self._hooks.note(
                    f"{limit} rounds did not bring the save nearer to its end, so the guest was "
                    f"stopped: {figures}"
                )
        elif limit is None and convergence.stalled >= PATIENT_ROUNDS:
            self._stalled(convergence.figures(self._sink.size))

    def _stalled(self, figures: str) -> None:
        """Say so each time that the file has doubled; end the save before the disk is full, since
        others need it and no folder shows the file."""
        how = f"{figures}; {WHAT_HELPS}"
        if nearly_full(self._wish.path):
            what = "the save does not come nearer to its end, and the disk is nearly full"
            self._end(HostError(f"{what}: {how}"))
        elif self._sink.size >= 2 * self._told:
            self._told = self._sink.size
            self._hooks.note(f"the save does not come nearer to its end: {how}")

    def _switch_over(self, status: str) -> None:
        """While the guest stands still, with its disks active, snapshot them; then go on."""
        try:
            self._snapshot.take(disks_for_overlays(self._source))
            self._source.execute("migrate-continue", {"state": status})
        except RamferryError as error:
            self._snapshot.failure = error
            with suppress(RamferryError):
                self._guest.cancel()
            self._end(error)

    # --- where there is no file

    def _failure(self) -> RamferryError:
        """The error of the save, with where the guest is."""
        place = self._guest.place()  # first, so that QEMU has said all that it has to say
        why = self._cause()
        if isinstance(why, Cancelled):
            return why.reworded(f"{why}: there is no file, and {place}")
        return why.reworded(f"not saved: {why}; there is no file, and {place}")

    def _cause(self) -> RamferryError:
        """The error that was found first, here or by the receiver, with QEMU's own words."""
        found = self._incoming.error or RamferryError("internal error: nobody says why")
        why = self._snapshot.failure or (self._why if isinstance(found, Cancelled) else None)
        lost = self._guest.lost()
        if lost is not None and isinstance(why or found, _OF_A_LOST_QEMU):
            return lost
        if why is not None:
            return _of_a_save(why) if self._begun else why
        info: dict[str, Any] = {}
        with suppress(RamferryError):
            info = self._source.execute("query-migrate")
        broken = isinstance(found, MigrationFailed) and not self._guest.cancelled
        if broken and info.get("status") == "cancelled":
            return _ended_by_itself("cancelled", info)
        said = str(info.get("error-desc", "")).rstrip(".")
        if said and said not in str(found):
            found = found.reworded(f"{found} (QEMU: {said})")
        return _of_a_save(found)

    # --- where there is one

    def _end_of_source(self) -> dict[str, Any]:
        """Wait until the migration has completed; put the guest back if that is wanted.

        :raise PeerTimeout: the QEMU does not say that its migration has completed.
        """
        if self._why is not None or self._hooks.stop.is_set():
            why = self._why or "cancelled"
            self._hooks.note(f"too late to end the save ({why}): {self._wish.path} is complete")
        try:
            if self._gives_back:
                self._guest.cancel()
            self._guest.settle()
            info: dict[str, Any] = self._source.execute("query-migrate")
            if info.get("status") != "completed" and not self._gives_back:
                raise PeerTimeout(
                    f"the QEMU says {info.get('status')}: see with `info status` whether its guest "
                    "runs; the disks must stay as they are for the file"
                )
            if self._wish.resume and self._guest.before == "running":
                self._source.execute("cont")
        except RamferryError as error:
            raise error.reworded(f"{self._wish.path} is complete, but {error}") from error
        return info

    def _result(self, info: dict[str, Any], seconds: float, cpu: float) -> ArchiveResult:
        received = self._incoming.result
        guest = received.counters.normal_bytes
        return ArchiveResult(
            action="saved",
            file=str(self._wish.path),
            machine=received.machine,
            method=self._wish.method,
            level=self._wish.level,
            backend=self._sink.backend,
            channels=self._wish.channels,
            total_time_ms=int(info.get("total-time") or round(seconds * 1000)),
            downtime_ms=self._downtime_ms(info),
            normal_bytes=guest,
            file_bytes=self._sink.size,
            ratio=guest / self._sink.size,
            cpu_seconds=cpu,
            run_state=self._source.run_state() or "unknown",
            overlays=self._snapshot.overlays,
        )

    def _downtime_ms(self, info: dict[str, Any]) -> int | None:
        """Milliseconds that the guest stood still; None if it did not run before."""
        if self._guest.before != "running":
            return None
        if self._guest.since is not None:
            return round((time.monotonic() - self._guest.since) * 1000)
        return int(info["downtime"]) if "downtime" in info else None


def _ended_by_itself(status: str, info: dict[str, Any]) -> RamferryError:
    """The error of a QEMU whose migration is over if the receiver does not know why."""
    if status == "cancelled":
        return Cancelled("someone cancelled the migration at the QEMU")
    words = str(info.get("error-desc", "")).rstrip(".")
    return MigrationFailed(f"the QEMU's migration failed{f': {words}' if words else ''}")


def _of_a_save(error: RamferryError) -> RamferryError:
    """Turn errors that would say that nothing was begun into ``MigrationFailed``."""
    begun = isinstance(error, UsageError | MethodUnavailable)
    return MigrationFailed(str(error)) if begun else error
