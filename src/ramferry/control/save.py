"""``ramferry save``: a QEMU's guest into one file, over as many channels as are asked for.

The QEMU migrates to a receiver in this process. The file has its name before the QEMU is told that
its guest was taken, so whatever goes wrong earlier leaves no file and the guest as it was.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ramferry.control.end import QemuEnd, check_source, open_end
from ramferry.control.hooks import ArchiveHooks
from ramferry.control.settings import save_settings
from ramferry.control.status import ENDED, whereabouts
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

    :raise UsageError: the address, the file or the guest's state makes no sense, or the guest is to
        run on with disks that it may write.
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
        if wish.resume:
            refuse_writable_disks(source)
        file = stack.enter_context(SafeFile(wish.path, replace=wish.replace, like=None))
        sink = ArchiveSink(file, wish.method, wish.level)
        folder = stack.enter_context(TemporaryDirectory(prefix="ramferry-"))
        stack.callback(source.restore_or_tell, hooks.note)
        source.apply(save_settings(source.facts, wish.channels))
        return _Course(source, wish, hooks, sink, UnixAddress(f"{folder}/save")).run()


def check_here(source: QemuEnd) -> None:
    """:raise UsageError: the guest was saved, or has moved, before."""
    if source.facts.run_state == "postmigrate":
        raise UsageError(
            f"the QEMU at {source.party.uri} is postmigrate: its guest was saved before, or has "
            "moved; where it runs nowhere else, `cont` there and save again"
        )


def refuse_writable_disks(source: QemuEnd) -> None:
    """:raise UsageError: the guest could change a disk after its memory was saved."""
    for device in source.execute("query-block"):
        inserted = device.get("inserted")
        if inserted and not inserted.get("ro", False):
            name = device.get("device") or device.get("qdev") or inserted.get("node-name", "?")
            raise UsageError(
                f"the guest writes to disk {name!r}: running on would leave the saved memory "
                "without the disk that belongs to it; save without --resume"
            )


@dataclass(frozen=True, slots=True)
class _Course:
    """One save, from the receiver's start to the result."""

    source: QemuEnd
    wish: SaveWish
    hooks: ArchiveHooks
    sink: ArchiveSink
    address: UnixAddress

    def run(self) -> ArchiveResult:
        watcher = _Watcher(self.hooks.note)
        settings = ReceiveSettings(self.address, self.wish.channels)
        receiver = Receiver(settings, self.sink, watcher)
        results: list[ReceiveResult] = []
        cpu = time.process_time()
        thread = threading.Thread(target=lambda: results.append(receiver.run()), name="receiver")
        thread.start()
        try:
            self.source.execute("migrate", {"uri": str(self.address)})
            self._watch(thread, receiver, watcher)
        finally:
            receiver.stop("the save ended")
            thread.join()
        (received,) = results
        if not received.completed:
            raise self._failure(received)
        return self._result(received, self._end_of_source(), time.process_time() - cpu)

    def _watch(self, thread: threading.Thread, receiver: Receiver, watcher: _Watcher) -> None:
        """Wait until the receiver has ended."""
        while thread.is_alive():
            if self.hooks.stop.is_set():
                receiver.stop("by the operator")
            elif not self.source.connected:
                receiver.stop("the QEMU ended")
            elif self.source.execute("query-migrate").get("status") in ENDED - {"completed"}:
                # its connections tell the receiver; one that never came would not
                thread.join(1.0)
                receiver.stop("the QEMU gave the migration up")
            if watcher.counters is not None:
                self.hooks.progress(watcher.counters, self.sink.size)
            thread.join(POLL_SECONDS)

    def _failure(self, received: ReceiveResult) -> RamferryError:
        """What went wrong, and where the guest is."""
        if not self.source.connected:
            return PeerUnreachable("the QEMU ended while its guest was saved; there is no file")
        self.source.settle(lambda _: self._status() in ENDED, CANCEL_SECONDS)
        place = whereabouts(self.source.facts.run_state, self.source.run_state(), None)
        if self.hooks.stop.is_set():
            return Cancelled(f"cancelled: there is no file, and {place}")
        said = self.source.error()
        why = f"{received.error} (QEMU: {said})" if said else received.error
        kind = HostError if received.exit_code == HostError.exit_code else MigrationFailed
        return kind(f"not saved: {why}; there is no file, and {place}")

    def _status(self) -> str:
        return str(self.source.execute("query-migrate").get("status", "none"))

    def _end_of_source(self) -> dict[str, object]:
        """Wait for the QEMU to have heard, and let the guest go on where that was asked for.

        :raise PeerTimeout: it does not say that its migration completed.
        """
        self.source.settle(lambda _: self._status() in ENDED, CANCEL_SECONDS)
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
            channels=received.channels,
            total_ms=int(str(info["total-time"])),
            downtime_ms=int(str(info["downtime"])) if ran else None,
            guest_bytes=guest,
            file_bytes=self.sink.size,
            ratio=guest / self.sink.size,
            cpu_seconds=cpu,
            run_state=self.source.run_state() or "unknown",
        )
