"""The built-in guest: RAM, a processor, run states, and its way out of or into this process.

Run states and what leads from one to another are QEMU's. A guest that came is started only after
its source was told so (SHUT), and one that left stays here, stopped, so that `cont` brings it back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ramferry.errors import RamferryError
from ramferry.flows.pages import MainStream
from ramferry.flows.receiving.memory_sink import MemorySink
from ramferry.flows.receiving.receiver import Receiver
from ramferry.flows.receiving.reception import ReceiveSettings
from ramferry.flows.sending.channel import SendSettings
from ramferry.flows.sending.precopy import Precopy
from ramferry.flows.sending.sender import Sender, Status
from ramferry.guest import info
from ramferry.guest.errors import MonitorError
from ramferry.guest.parameters import Settings
from ramferry.guest.state import GuestState, decode, encode
from ramferry.guest.vcpu import Vcpu
from ramferry.guest.workload import Workload
from ramferry.memory.dirty import DirtyTracker, Wanted, track
from ramferry.memory.ram import Ram
from ramferry.metrics import RelayCounters
from ramferry.qatzip.accelerator import AUTO
from ramferry.transport.address import Address

MACHINE: Final = "ramferry-1"
BLOCK: Final = "ramferry.ram"
ENDED: Final = ("none", "completed", "failed", "cancelled")

Told = Callable[[str, Mapping[str, object]], None]
"""Takes an event's name and data."""


@dataclass(frozen=True, slots=True)
class GuestSettings:
    """What kind of guest."""

    memory: int
    """Bytes of RAM."""
    workload: Workload
    tracker: Wanted = "auto"
    accelerator: str = AUTO


class Vm:
    """One guest; methods may be called from any thread."""

    def __init__(self, settings: GuestSettings, *, incoming: bool = False) -> None:
        """Stopped at first.

        :param incoming: whether it waits for ``migrate-incoming``.
        :raise HostError: there is not so much memory.
        """
        self.settings = settings
        self.ram = Ram.create([(BLOCK, settings.memory)])
        self.machine = MACHINE
        self.vcpu = Vcpu(self.ram.blocks[BLOCK], settings.workload)
        self.migration = Settings()
        self.state = "inmigrate" if incoming else "prelaunch"
        self.tracker = ""
        """What watched the last migration, and why."""
        self.ended = threading.Event()
        """Set by ``quit``, and where an incoming migration failed."""
        self.failure = ""
        """Why the process is to end as failed."""
        self._incoming = incoming
        self._autostart = True
        self._before = self.state
        self._sender: Sender | None = None
        self._receiver: Receiver | None = None
        self._arrival = "none"
        self._address: Address | None = None
        self._error = ""
        self._heard = threading.Event()
        self._told: list[Told] = []
        self._lock = threading.RLock()
        self._populating = threading.Thread(target=self._populate, name="memory")
        if incoming:
            self._populating.start()

    def _populate(self) -> None:
        """Have the memory before the guest comes, as with QEMU's ``prealloc``."""
        try:
            self.ram.populate(self.ended)
        except RamferryError as error:
            self.failure = str(error)
            self.ended.set()

    # --- run states

    def cont(self) -> None:
        """Let it run; a guest that is still to come runs when it is here."""
        with self._lock:
            if self.state == "inmigrate":
                self._autostart = True
            elif self.state == "finish-migrate":
                raise MonitorError("the guest is on its way to the destination: wait, or cancel")
            elif self.state != "running":
                self.vcpu.start()
                self._to("running", "RESUME")

    def stop(self) -> None:
        """Stop it."""
        with self._lock:
            if self.state == "inmigrate":
                self._autostart = False
            elif self.state == "running":
                self.vcpu.stop()
                self._to("paused", "STOP")

    def quit(self) -> None:
        """End the process that this guest is."""
        self.cancel()
        self.tell("SHUTDOWN", {"guest": False, "reason": "host-qmp-quit"})
        self.ended.set()

    def _to(self, state: str, event: str = "") -> None:
        self.state = state
        if event:
            self.tell(event, {})

    # --- what a sender needs

    def watch(self) -> DirtyTracker:
        """See ``SendingGuest``."""
        tracker = track(self.ram, self.settings.tracker)
        self.tracker = f"{tracker.name}: {tracker.why}"
        return tracker

    def pause(self) -> None:
        """See ``SendingGuest``."""
        with self._lock:
            self._before = self.state
            self.vcpu.stop()
            self._to("finish-migrate", "STOP" if self._before == "running" else "")

    def resume(self) -> None:
        """See ``SendingGuest``."""
        with self._lock:
            if self._before == "running":
                self.vcpu.start()
            self._to(self._before, "RESUME" if self._before == "running" else "")

    def device_state(self) -> bytes:
        """See ``SendingGuest``."""
        state = GuestState(self.vcpu.counter, self.vcpu.workload, self._before == "running")
        return encode(state, self.ram.page_size)

    # --- migrations

    @property
    def status(self) -> str:
        """The migration's."""
        if self._sender is not None:
            return self._sender.progress().status
        return self._arrival

    def migrate(self, address: Address) -> None:
        """Begin to leave for a destination.

        :raise MonitorError: it cannot begin.
        """
        with self._lock:
            self.refuse_while_migrating()
            if self.state == "inmigrate":
                raise MonitorError("Guest is waiting for an incoming migration")
            sender = self._new_sender(address)
            self._sender, self._error = sender, ""
            threading.Thread(target=self._leave, args=(sender,), name="migration").start()

    def _new_sender(self, address: Address) -> Sender:
        wanted = self.migration
        settings = SendSettings(
            address,
            wanted.method,
            wanted.level,
            channels=wanted.number("multifd-channels"),
            max_bandwidth=float(wanted.number("max-bandwidth")),
            accelerator=self.settings.accelerator,
        )
        precopy = Precopy(
            wanted.number("downtime-limit"), wanted.capabilities["pause-before-switchover"]
        )
        try:
            return Sender(settings, precopy, self, self._status_changed)
        except RamferryError as error:
            raise MonitorError(str(error)) from error

    def _leave(self, sender: Sender) -> None:
        try:
            sender.run()
        except RamferryError as error:
            self._error = str(error)

    def _status_changed(self, status: Status) -> None:
        if status == "completed":
            with self._lock:
                self._to("postmigrate")
        self._tell_status(status)

    def cancel(self) -> None:
        """Cancel a migration that leaves, if there is one and it is not too late."""
        if self._sender is not None and self.status not in ENDED:
            self._sender.cancel("the migration was cancelled")
        elif self._receiver is not None:
            self._receiver.stop("the migration was cancelled")

    def proceed(self) -> None:
        """Go on from "pre-switchover".

        :raise MonitorError: it does not wait there.
        """
        if self._sender is None or self.status != "pre-switchover":
            raise MonitorError(f"Migration not in expected state: {self.status}")
        self._sender.proceed()

    def refuse_while_migrating(self) -> None:
        """:raise MonitorError: a migration is under way."""
        if self.status not in ENDED:
            raise MonitorError("There's a migration process in progress")

    def set_parameters(self, wanted: Mapping[str, object]) -> None:
        """Take migration parameters; the cap counts at once.

        :raise MonitorError: as ``Settings.set_parameters``.
        """
        self.migration.set_parameters(wanted)
        if self._sender is not None and "max-bandwidth" in wanted:
            self._sender.set_bandwidth(float(self.migration.number("max-bandwidth")))

    def migrate_incoming(self, address: Address) -> None:
        """Listen for a guest.

        :raise MonitorError: it is not one that waits, or cannot listen there.
        """
        with self._lock:
            if not self._incoming:
                raise MonitorError("'-incoming' was not specified on the command line")
            if self._receiver is not None:
                raise MonitorError("The incoming migration has already been started")
            channels = self.migration.number("multifd-channels")
            settings = ReceiveSettings(
                address, channels=channels, accelerator=self.settings.accelerator
            )
            try:
                self._receiver = Receiver(settings, MemorySink(self.ram, self._load), self)
            except RamferryError as error:
                raise MonitorError(str(error)) from error
            self._arrival = "setup"
            run = threading.Thread(target=self._arrive, args=(self._receiver,), name="incoming")
            run.start()
        self._heard.wait(5.0)

    def _load(self, stream: MainStream) -> None:
        state = decode(stream.tail)
        self.vcpu.load(state.workload, state.counter)
        self._before = "running" if state.running else "paused"

    def _arrive(self, receiver: Receiver) -> None:
        try:
            result = receiver.run()
            error = result.error
        except RamferryError as failure:
            error = str(failure)
        with self._lock:
            if error:
                self._arrival, self.failure = "failed", error
            else:
                self._arrival = "completed"
                runs = self._autostart and self._before == "running"
                self._to("paused")
                if runs:
                    self.cont()
        self._tell_status(self._arrival)
        if error:
            self.ended.set()

    def listening(self, address: Address) -> None:
        """See ``flows.gathering.Observer``."""
        self._address = address
        self._heard.set()

    def progress(self, counters: RelayCounters) -> None:
        """See ``flows.gathering.Observer``."""
        if self._arrival == "setup" and counters.bytes_in:
            self._arrival = "active"
            self._tell_status("active")

    def note(self, text: str) -> None:
        """See ``flows.gathering.Observer``."""
        self.tell("X_RAMFERRY_NOTE", {"text": text})

    def query_migrate(self) -> dict[str, Any]:
        """What ``query-migrate`` returns."""
        if self._sender is not None:
            return info.of_source(self._sender.progress(), self._error)
        return info.of_destination(self._arrival, self.failure, self._address)

    # --- events

    def listen(self, told: Told) -> Callable[[], None]:
        """Have events told to ``told``; what is returned ends that."""
        with self._lock:
            self._told.append(told)
        return lambda: self._told.remove(told)

    def tell(self, event: str, data: Mapping[str, object]) -> None:
        """Tell everyone who listens."""
        for told in list(self._told):
            told(event, data)

    def _tell_status(self, status: str) -> None:
        if self.migration.capabilities["events"]:
            self.tell("MIGRATION", {"status": status})

    def close(self) -> None:
        """End it and free its memory."""
        self.cancel()
        self.ended.set()
        if self._incoming:
            self._populating.join()
        self.vcpu.close()
        self.ram.close()
