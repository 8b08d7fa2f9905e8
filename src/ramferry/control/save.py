"""``ramferry save``: a QEMU's guest into one file, over as many channels as are asked for.

The QEMU migrates to a receiver in this process. The file has its name before the QEMU is told that
its guest was taken, so whatever goes wrong earlier leaves no file and the guest as it was; where
its disks were snapshotted by then, they stay on their overlays, and every sentence says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from ramferry.control.disks import disks_for_overlays, refuse_writable_disks
from ramferry.control.end import QemuEnd, open_end
from ramferry.control.folders import Folder
from ramferry.control.guardian import Guardian
from ramferry.control.hooks import ArchiveHooks
from ramferry.control.overlays import DiskSnapshot
from ramferry.control.ready import check_source, refuse_tls
from ramferry.control.room import room_note
from ramferry.control.settings import save_settings
from ramferry.control.status import ENDED, GONE, Phase, phase_of, whereabouts
from ramferry.errors import (
    Cancelled,
    HostError,
    MigrationFailed,
    PeerTimeout,
    PeerUnreachable,
    RamferryError,
    UsageError,
)
from ramferry.flows.archive.sink import ArchiveSink
from ramferry.flows.receiving.receiver import Receiver
from ramferry.flows.receiving.reception import ReceiveSettings
from ramferry.metrics import ArchiveResult, ReceiveResult, RelayCounters
from ramferry.transport.address import Address, UnixAddress
from ramferry.transport.safefile import SafeFile

POLL_SECONDS = 0.05
LOOK_SECONDS = 0.5
"""Between two looks at a QEMU that announces nothing: each takes 3 ms of a core that compresses."""
CANCEL_SECONDS = 15.0
"""How long a QEMU may take to end a migration whose far end has gone."""


@dataclass(frozen=True, slots=True)
class SaveWish:
    """What the operator asked for."""

    path: Path
    method: str = "zstd"
    level: int | None = None
    channels: int = 4
    replace: bool = False
    resume: bool = False
    """Let the guest run on once it is saved."""
    disk_snapshot: bool = False
    """Have its disks go on in overlays, so that their images stay as they were at the save."""


class _Watcher:
    """The receiver's observer: notes go on, counters are kept."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.counters: RelayCounters | None = None
        self.note = note

    def listening(self, address: Address) -> None:
        """It listens from its making on."""

    def progress(self, counters: RelayCounters) -> None:
        self.counters = counters


def save(uri: str, wish: SaveWish, hooks: ArchiveHooks) -> ArchiveResult:
    """Save the guest of the QEMU at ``uri``.

    :raise UsageError: the address, the file or the guest's state makes no sense, the guest is to
        run on with disks that it may write, or one of them cannot be snapshotted.
    :raise MethodUnavailable: the QEMU has TLS set, or lacks a capability.
    :raise PeerUnreachable: the QEMU does not answer.
    :raise MigrationFailed: it ended early; there is no file, and the sentence says where the guest
        is.
    :raise Cancelled: ``hooks.stop`` ended it.
    :raise HostError: the file cannot be written.
    """
    with ExitStack() as stack:
        source = stack.enter_context(open_end("source", uri))
        check_here(source)
        check_source(source)
        refuse_tls(source)
        if wish.resume and not wish.disk_snapshot:
            refuse_writable_disks(source)
        needed = wish.disk_snapshot and bool(disks_for_overlays(source))
        snapshot = DiskSnapshot(source, needed=needed)
        file = stack.enter_context(SafeFile(wish.path, replace=wish.replace, like=None))
        if note := room_note(source, wish.path):
            hooks.note(note)
        sink = ArchiveSink(file, wish.method, wish.level)
        folder = stack.enter_context(Folder(source.party))
        folder.require(writes=False)
        if snapshot:
            stack.enter_context(Guardian(uri))
        stack.callback(source.restore_or_tell, hooks.note)
        settings = receive_settings(source, wish.channels, UnixAddress(f"{folder.path}/save"))
        multifd = settings.channels or 0
        source.apply(save_settings(source.facts, multifd, pause=bool(snapshot)))
        return _Course(source, wish, hooks, sink, settings, snapshot, folder).run()


def receive_settings(source: QemuEnd, channels: int, address: UnixAddress) -> ReceiveSettings:
    """Over multifd channels, or on main alone where they cost more than they bring.

    A 7.2 that spins on its busy channels takes one of the two cores that compress: 2 GiB of Silesia
    data took 17.0 s of CPU at both ends over 2 channels, and 11.5 to 12.4 s on main, where
    ``exec:zstd -1`` took 13.1 to 15.1 s.
    """
    if not source.facts.spins:
        return ReceiveSettings(address, channels)
    uuid = source.facts.uuid or UUID(int=0)
    return ReceiveSettings(address, channels=0, threads=channels, uuid=uuid.bytes)


def check_here(source: QemuEnd) -> None:
    """:raise UsageError: there is no guest yet, or it was saved or has moved before."""
    if source.facts.run_state == "inmigrate":
        raise UsageError(
            f"the QEMU at {source.party.uri} waits for a guest (it is inmigrate): there is none to "
            "save yet"
        )
    if source.facts.run_state == "postmigrate":
        raise UsageError(
            f"the QEMU at {source.party.uri} is postmigrate: its guest was saved before, or has "
            "moved; where it runs nowhere else, `cont` there and save again"
        )


@dataclass(frozen=True, slots=True)
class _Course:
    """One save, from the receiver's start to the result."""

    source: QemuEnd
    wish: SaveWish
    hooks: ArchiveHooks
    sink: ArchiveSink
    settings: ReceiveSettings
    snapshot: DiskSnapshot
    folder: Folder
    """Where the receiver's socket is."""

    def run(self) -> ArchiveResult:
        try:
            return self._save()
        except RamferryError as error:
            if not self.snapshot.overlays:
                raise
            raise self.snapshot.told(error) from error

    def _save(self) -> ArchiveResult:
        watcher = _Watcher(self.hooks.note)
        receiver = Receiver(self.settings, self.sink, watcher)
        results: list[ReceiveResult] = []
        cpu = time.process_time()
        thread = threading.Thread(target=lambda: results.append(receiver.run()), name="receiver")
        thread.start()
        try:
            self.folder.hand_over()
            self.source.execute("migrate", {"uri": str(self.settings.listen)})
            self._watch(thread, receiver, watcher)
        finally:
            receiver.stop("the save ended")
            thread.join()
            with suppress(RamferryError):
                self._let_go()
        (received,) = results
        if not received.completed:
            raise self._failure(received)
        return self._result(received, self._end_of_source(), time.process_time() - cpu)

    def _watch(self, thread: threading.Thread, receiver: Receiver, watcher: _Watcher) -> None:
        """Wait until the receiver has ended; take the disks' snapshot when the guest stands."""
        look_at = 0.0
        while thread.is_alive():
            if self.hooks.stop.is_set():
                receiver.stop("by the operator")
            elif not self.source.connected:
                receiver.stop("the QEMU ended")
            elif time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_SECONDS
                self._look(thread, receiver)
            if watcher.counters is not None:
                self.hooks.progress(watcher.counters, self.sink.size)
            if self.source.wait_for_event(POLL_SECONDS):
                look_at = 0.0

    def _look(self, thread: threading.Thread, receiver: Receiver) -> None:
        status = self._status()
        if status in ENDED - {"completed"}:
            # its connections tell the receiver; one that never came would not
            thread.join(1.0)
            receiver.stop("the QEMU gave the migration up")
        elif phase_of(status) is Phase.PAUSED and self.snapshot.due:
            self._switch_over(receiver, status)

    def _switch_over(self, receiver: Receiver, status: str) -> None:
        """The guest stands still, and its disks are still its own: snapshot them, and go on."""
        try:
            self.snapshot.take(disks_for_overlays(self.source))
            self.source.execute("migrate-continue", {"state": status})
        except RamferryError as error:
            self.snapshot.failure = error
            with suppress(RamferryError):
                self.source.execute("migrate_cancel")
            receiver.stop("the save failed")

    def _let_go(self) -> None:
        """See a QEMU to the end that waits for ``migrate-continue``, or is about to.

        While it waits it does not look at its connections, and its guest stands still.
        """
        if self.snapshot and self.source.connected:
            self._settle()

    def _settle(self) -> None:
        self.source.settle(lambda _: self._ended(), CANCEL_SECONDS)

    def _ended(self) -> bool:
        """Whether the migration is over; it is cancelled where it waits to be let go on."""
        status = self._status()
        if phase_of(status) is Phase.PAUSED:
            self.source.execute("migrate_cancel")
        return status in ENDED

    def _failure(self, received: ReceiveResult) -> RamferryError:
        """What went wrong, and where the guest is."""
        if not self.source.connected:
            return PeerUnreachable("the QEMU ended while its guest was saved; there is no file")
        self._settle()
        place = whereabouts(self.source.facts.run_state, self.source.run_state(), GONE)
        if self.hooks.stop.is_set():
            return Cancelled(f"cancelled: there is no file, and {place}")
        why, code = self._cause(received)
        kind = HostError if code == HostError.exit_code else MigrationFailed
        return kind(f"not saved: {why}; there is no file, and {place}")

    def _cause(self, received: ReceiveResult) -> tuple[str, int]:
        """Why it failed, and the exit code that tells of it."""
        if (failure := self.snapshot.failure) is not None:
            return str(failure), failure.exit_code
        said = self.source.error()
        why = f"{received.error} (QEMU: {said})" if said else received.error
        return why, received.exit_code

    def _status(self) -> str:
        return str(self.source.execute("query-migrate").get("status", "none"))

    def _end_of_source(self) -> dict[str, object]:
        """Wait for the QEMU to have heard, and let the guest go on where that was asked for.

        :raise PeerTimeout: it does not say that its migration completed.
        """
        self._settle()
        info: dict[str, object] = self.source.execute("query-migrate")
        if info.get("status") != "completed":
            raise PeerTimeout(
                f"{self.wish.path} is complete, but the QEMU says {info.get('status')}: see with "
                "`info status` whether its guest runs; the disks must stay as they are for the file"
            )
        if self.wish.resume and self.source.facts.run_state == "running":
            self.source.execute("cont")
        return info

    def _result(
        self, received: ReceiveResult, info: dict[str, object], cpu: float
    ) -> ArchiveResult:
        guest = received.counters.guest_bytes
        ran = self.source.facts.run_state == "running"
        return ArchiveResult(
            action="saved",
            file=str(self.wish.path),
            machine=received.machine,
            method=self.wish.method,
            level=self.wish.level,
            backend=self.sink.backend,
            channels=self.wish.channels,
            total_ms=int(str(info["total-time"])),
            downtime_ms=int(str(info["downtime"])) if ran else None,
            guest_bytes=guest,
            file_bytes=self.sink.size,
            ratio=guest / self.sink.size,
            cpu_seconds=cpu,
            run_state=self.source.run_state() or "unknown",
            overlays=self.snapshot.overlays,
        )
