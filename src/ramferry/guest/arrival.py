"""A guest's way into this process: from ``migrate-incoming`` to the moment it may run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

from ramferry.errors import RamferryError
from ramferry.flows.contracts import MainStream
from ramferry.flows.ends.memory_sink import MemorySink
from ramferry.flows.receiver import Receiver
from ramferry.flows.settings import ReceiveSettings
from ramferry.guest import info
from ramferry.guest.errors import MonitorError
from ramferry.guest.settings import GuestSettings
from ramferry.guest.state import GuestState, decode
from ramferry.metrics import RelayCounters
from ramferry.ram.blocks import Ram
from ramferry.transport.address import Address
from ramferry.vocabulary import Status

_PATIENCE: Final = 10.0
"""Seconds to wait for the threads of a receiver to end; the receiver gives them 5."""


class ArrivingGuest(Protocol):
    """The guest that is loaded. Its methods are called in threads of the arrival."""

    ram: Ram
    ended: threading.Event
    """Set when it has failed, and nobody has to be told so any more: the process may end."""

    def load(self, state: GuestState) -> None:
        """All memory has arrived: load the device state."""

    def arrived(self, error: str) -> None:
        """The migration has ended: the guest may run if ``error`` is empty."""

    def arriving(self, status: Status) -> None:
        """The status of the migration has changed."""

    def note(self, text: str) -> None:
        """Tell the user something."""


class Arrival:
    """One incoming migration, which ``listen`` begins."""

    def __init__(self, guest: ArrivingGuest) -> None:
        self._guest = guest
        self.status: Status = "none"
        """The migration's."""
        self.error = ""
        """Why it failed."""
        self._receiver: Receiver | None = None
        self._address: Address | None = None
        self._heard = threading.Event()
        self._given_up = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        """Guards the status, with what is told of it, and which receiver there is: the monitor's
        threads, the receiver's and that of the memory all have a say."""

    def prepare(self) -> None:
        """Allocate all memory before the guest comes, as QEMU's ``prealloc`` does.

        If there is not enough, the migration fails before the guest has left its source.
        """
        self._start("memory", self._populate)

    def _populate(self) -> None:
        try:
            self._guest.ram.populate(self._given_up)
        except RamferryError as error:
            with self._lock:
                receiver = self._receiver
                if receiver is None:
                    self.error, self.status = str(error), "failed"
            if receiver is not None:  # which knows whether it is too late
                receiver.stop(str(error))
                return
            self._guest.arrived(self.error)
            self._guest.ended.set()

    def listen(self, address: Address, channels: int, guest: GuestSettings) -> None:
        """Listen for a guest; when this returns it may come.

        :raise MonitorError: something listens already, or it cannot listen there.
        """
        settings = ReceiveSettings(
            address,
            channels=channels,
            accelerator=guest.accelerator,
            decide=guest.decide,
            security=guest.security,
        )
        sink = MemorySink(self._guest.ram, self._load, self._taken_over)
        with self._lock:
            if self._receiver is not None:
                raise MonitorError("The incoming migration has already been started")
            try:
                self._receiver = receiver = Receiver(settings, sink, self)
            except RamferryError as error:
                raise MonitorError(str(error)) from error
            for sentence in guest.security.consented(address):
                self._guest.note(sentence)
            self._to("setup")
        self._start("incoming", partial(self._run, receiver))
        self._heard.wait(_PATIENCE)

    def end(self) -> None:
        """End the migration; after this nothing writes to the memory any more."""
        self._given_up.set()
        if self._receiver is not None:
            self._receiver.stop("the guest that it was for has ended")
        for thread in self._threads:
            thread.join(_PATIENCE)

    def info(self) -> dict[str, Any]:
        """What ``query-migrate`` returns."""
        return info.of_destination(self.status, self.error, self._address)

    def _start(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=name)
        self._threads.append(thread)
        thread.start()

    def _load(self, stream: MainStream) -> None:
        self._guest.load(decode(stream.tail))

    def _taken_over(self) -> None:
        """The source has been told, so the guest may run: do not wait until it disconnects."""
        with self._lock:
            self.status = "completed"
        self._guest.arrived("")

    def _run(self, receiver: Receiver) -> None:
        try:
            error = receiver.run().error
        except RamferryError as failure:
            error = str(failure)
        except Exception as failure:
            error = f"internal error in the receiver: {failure!r}"
        with self._lock:
            failed = self.status != "completed"
            if failed:
                # without an error the source could not be told
                lost = "the source was lost before it knew, and goes on with its guest"
                self.error, self.status = error or lost, "failed"
        if failed:
            self._guest.arrived(self.error)
        receiver.linger()
        if failed:
            self._guest.ended.set()

    def _to(self, status: Status) -> None:
        """Enter a status, and tell of it; called with the lock."""
        self.status = status
        self._guest.arriving(status)

    # --- told by the receiver

    def listening(self, address: Address) -> None:
        """See ``flows.inlet.watching.Observer``."""
        self._address = address
        self._heard.set()

    def progress(self, counters: RelayCounters) -> None:
        """See ``flows.inlet.watching.Observer``."""
        with self._lock:
            if self.status == "setup" and counters.bytes_in:
                self._to("active")

    def note(self, text: str) -> None:
        """See ``flows.inlet.watching.Observer``."""
        self._guest.note(text)
