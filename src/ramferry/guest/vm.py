"""The built-in guest: RAM, a processor, run states, and its way out of or into this process.

The run states are QEMU's, and so is what leads from one to another. A guest that arrived starts
only after its source was told (SHUT). A guest that left stays here, stopped: `cont` brings it back.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from ramferry.errors import RamferryError
from ramferry.flows.ends.precopy import Precopy
from ramferry.flows.sender import Sender
from ramferry.flows.settings import SendSettings
from ramferry.guest import info
from ramferry.guest.arrival import Arrival
from ramferry.guest.errors import MonitorError
from ramferry.guest.events import NOTE, Events
from ramferry.guest.looking import DirtyRate
from ramferry.guest.parameters import Settings
from ramferry.guest.settings import GuestSettings
from ramferry.guest.state import GuestState, encode
from ramferry.guest.vcpu import Vcpu
from ramferry.ram.blocks import Ram
from ramferry.ram.dirty import DirtyTracker, track
from ramferry.transport.address import Address
from ramferry.vocabulary import AUTO, IDLE, RunState, Status

MACHINE: Final = "ramferry-1"
BLOCK: Final = "ramferry.ram"
_PATIENCE: Final = 10.0
"""Seconds to wait until a cancelled sender reads the memory no more."""


class Vm:
    """One guest. Its methods may be called from any thread."""

    def __init__(self, settings: GuestSettings, *, incoming: bool = False) -> None:
        """Make a guest that does not run yet.

        :param incoming: whether it waits for ``migrate-incoming``, to be loaded from a migration.
        :raise HostError: the host does not have that much memory.
        """
        self.settings = settings
        self.ram = Ram.create([(BLOCK, settings.memory)])
        self.machine = MACHINE
        self.vcpu = Vcpu(self.ram.blocks[BLOCK], settings.workload)
        self.migration = Settings()
        self.state: RunState = "inmigrate" if incoming else "prelaunch"
        self.tracker = ""
        """How the last migration found written pages, and why so."""
        self.ended = threading.Event()
        """Set by ``quit``, and when an incoming migration has failed and its source knows."""
        self.failure = ""
        """Why the process ends with an error; empty if it does not."""
        self._arrival = Arrival(self) if incoming else None
        self._autostart = True
        self._before: RunState = self.state
        self._sender: Sender | None = None
        self._leaving: threading.Thread | None = None
        self._closing = False
        self.dirty_rate = DirtyRate(self.ram)
        self.events = Events()
        self._lock = threading.RLock()
        if self._arrival is not None:
            self._arrival.prepare()

    # --- run states

    def cont(self) -> None:
        """Let the guest run; one that is still arriving runs when it has arrived."""
        with self._lock:
            if self.state == "inmigrate":
                self._autostart = True
            elif self.state == "finish-migrate":
                raise MonitorError("Migration is not finalized yet")
            elif self.state != "running":
                self.vcpu.start()
                self._to("running", "RESUME")

    def stop(self) -> None:
        """Stop the guest."""
        with self._lock:
            if self.state == "inmigrate":
                self._autostart = False
            elif self.state == "running":
                self.vcpu.stop()
                self._to("paused", "STOP")

    def quit(self) -> None:
        """End the guest and its process."""
        self.events.tell("SHUTDOWN", {"guest": False, "reason": "host-qmp-quit"})
        self.cancel()
        self.ended.set()

    def _to(self, state: RunState, event: str = "") -> None:
        self.state = state
        if event:
            self.events.tell(event)

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

    def stand_still(self) -> None:
        """See ``SendingGuest``; `cont` lets it go on."""
        with self._lock:
            self._to("paused")

    def device_state(self) -> bytes:
        """See ``SendingGuest``."""
        state = GuestState(self.vcpu.counter, self.vcpu.workload, self._before == "running")
        return encode(state, self.ram.page_size)

    # --- migrations

    @property
    def status(self) -> str:
        """The status of the outgoing migration; of the incoming one if there is no other."""
        if self._sender is not None:
            return self._sender.progress().status
        return "none" if self._arrival is None else self._arrival.status

    def migrate(self, address: Address) -> None:
        """Begin to migrate to a destination.

        :raise MonitorError: it cannot begin.
        """
        with self._lock:
            self.refuse_while_migrating()
            if self.state == "inmigrate":
                raise MonitorError("Guest is waiting for an incoming migration")
            if self.state == "postmigrate":
                # a second copy of it would run
                raise MonitorError("Can't migrate the vm that was paused due to previous migration")
            self._sender = self._new_sender(address)
            for sentence in self.settings.security.consented(address):
                self.note(sentence)
            self._leaving = threading.Thread(
                target=self._leave, args=(self._sender,), name="migration"
            )
            self._leaving.start()

    def _new_sender(self, address: Address) -> Sender:
        wanted, guest = self.migration, self.settings
        settings = SendSettings(
            address,
            wanted.method,
            wanted.level,
            channels=wanted.number("multifd-channels"),
            max_bandwidth=float(wanted.number("max-bandwidth")),
            accelerator=guest.accelerator,
            member_size=guest.member_size if wanted.method == "qatzip" else AUTO,
            decide=guest.decide,
            security=guest.security,
        )
        precopy = Precopy(
            wanted.number("downtime-limit"), wanted.capabilities["pause-before-switchover"]
        )
        try:
            return Sender(
                settings, precopy, self, self._status_changed, self._pass_began, self.note
            )
        except RamferryError as error:
            raise MonitorError(str(error)) from error

    def _leave(self, sender: Sender) -> None:
        with suppress(RamferryError):  # query-migrate tells it
            sender.run()

    def _status_changed(self, status: Status) -> None:
        if status == "completed":
            with self._lock:
                self._to("postmigrate")
        self._tell_migration("MIGRATION", {"status": status})

    def _pass_began(self, number: int) -> None:
        self._tell_migration("MIGRATION_PASS", {"pass": number})

    def cancel(self) -> None:
        """Cancel the outgoing migration, if there is one and it is not too late."""
        if self._sender is not None and self.status not in IDLE:
            self._sender.cancel("the migration was cancelled")

    def proceed(self, state: str) -> None:
        """Go on from "pre-switchover".

        :raise MonitorError: the migration is not in ``state``, or does not wait there.
        """
        if self._sender is None or not state == self.status == "pre-switchover":
            raise MonitorError(f"Migration not in expected state: {self.status}")
        self._sender.proceed()

    def refuse_while_migrating(self) -> None:
        """Refuse a command during an outgoing migration.

        :raise MonitorError: there is one.
        """
        if self._sender is not None and self.status not in IDLE:
            raise MonitorError("There's a migration process in progress")

    def set_parameters(self, wanted: Mapping[str, object]) -> None:
        """Set migration parameters; one under way heeds ``max-bandwidth``, ``downtime-limit``.

        :raise MonitorError: as ``Settings.set_parameters``.
        """
        self.migration.set_parameters(wanted)
        if self._sender is not None:
            self._sender.set_bandwidth(float(self.migration.number("max-bandwidth")))
            self._sender.set_downtime_limit(self.migration.number("downtime-limit"))

    def migrate_incoming(self, address: Address) -> None:
        """Listen for an incoming migration.

        :raise MonitorError: this guest does not wait for one, or cannot listen there.
        """
        self.refuse_unless_incoming()
        assert self._arrival is not None
        self._arrival.listen(address, self.migration.number("multifd-channels"), self.settings)

    def refuse_unless_incoming(self) -> None:
        """Refuse a command for an incoming migration.

        :raise MonitorError: this guest was not started with ``--incoming``.
        """
        if self._arrival is None:
            raise MonitorError("'-incoming' was not specified on the command line")

    def query_migrate(self) -> dict[str, Any]:
        """What ``query-migrate`` returns."""
        if self._sender is not None:
            return info.of_source(self._sender.progress(), self._sender.error)
        return {} if self._arrival is None else self._arrival.info()

    # --- what an arrival needs

    def load(self, state: GuestState) -> None:
        """See ``arrival.Host``."""
        self.vcpu.load(state.workload, state.counter)
        self._before = "running" if state.running else "paused"

    def arrived(self, error: str) -> None:
        """See ``arrival.Host``."""
        with self._lock:
            if self._closing:
                return
            self.failure = error
            if not error:
                runs = self._autostart and self._before == "running"
                self._to("paused")
                if runs:
                    self.cont()
        self.arriving("failed" if error else "completed")

    def arriving(self, status: Status) -> None:
        """See ``arrival.Host``."""
        self._tell_migration("MIGRATION", {"status": status})

    def note(self, text: str) -> None:
        """See ``arrival.Host``."""
        self.events.tell(NOTE, {"text": text})

    def _tell_migration(self, event: str, data: Mapping[str, object]) -> None:
        if self.migration.capabilities["events"]:
            self.events.tell(event, data)

    def close(self) -> None:
        """End the guest and free its memory."""
        with self._lock:
            self._closing = True
        if self._sender is not None:
            self._sender.abandon()
        if self._leaving is not None:
            self._leaving.join(_PATIENCE)
        if self._arrival is not None:
            self._arrival.end()
        self.dirty_rate.close()
        self.vcpu.close()
        self.ram.close()
