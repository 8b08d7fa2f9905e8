"""A guest at a sender, and memory at a receiver, both of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import patiently
from ramferry.errors import RamferryError
from ramferry.flows.contracts import MainStream
from ramferry.flows.ends.memory_sink import MemorySink
from ramferry.flows.ends.precopy import Precopy
from ramferry.flows.receiver import Receiver
from ramferry.flows.sender import Sender
from ramferry.flows.settings import ReceiveSettings, SendSettings
from ramferry.guest.state import GuestState, decode, encode
from ramferry.guest.vcpu import Vcpu
from ramferry.guest.workload import Workload
from ramferry.metrics import ReceiveResult, RelayCounters
from ramferry.ram.blocks import Ram
from ramferry.ram.dirty import DirtyTracker, Wanted, track
from ramferry.transport.address import Address, UnixAddress

MIB = 1 << 20
SIZES = [("ramferry.ram", 8 * MIB), ("ramferry.rom", 64 * 1024)]
IDLE = Workload()
BUSY = Workload(40e6, "random", 256)
DEADLINE = 30.0


class Here:
    """A guest at the source."""

    machine = "ramferry-1"

    def __init__(self, workload: Workload = IDLE, tracker: Wanted = "auto") -> None:
        self.ram = Ram.create(SIZES)
        rng = np.random.default_rng(5)
        block = self.ram.blocks["ramferry.ram"]
        block.pages[100:1100] = rng.integers(0, 64, (1000, 4096), dtype=np.uint8)
        self.ram.blocks["ramferry.rom"].pages[3] = 7
        self.vcpu = Vcpu(block, workload)
        self.vcpu.start()
        self._tracker: Wanted = tracker
        self.trackers: list[DirtyTracker] = []
        self.paused = threading.Event()
        self.stood_still = False

    def watch(self) -> DirtyTracker:
        self.trackers.append(track(self.ram, self._tracker))
        return self.trackers[-1]

    def pause(self) -> None:
        self.vcpu.stop()
        self.paused.set()

    def resume(self) -> None:
        self.vcpu.start()

    def stand_still(self) -> None:
        self.stood_still = True

    def device_state(self) -> bytes:
        return encode(GuestState(self.vcpu.counter, self.vcpu.workload, True), 4096)

    def close(self) -> None:
        self.vcpu.close()
        self.ram.close()


class There:
    """A receiver in a thread; not an observer that keeps anything."""

    def __init__(self, address: Address, **settings: object) -> None:
        self.ram = Ram.create(SIZES)
        for block in self.ram.blocks.values():
            block.view[:] = b"\xa5" * block.size
        self.address = address
        self.state: GuestState | None = None
        self.tail = b""
        self.fault: RamferryError | None = None
        self.notes: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None
        """Done when all of the guest is here, before its source is told."""
        self.committing: Callable[[], object] = lambda: None
        """The same, where it is too late to stop."""
        self.taken_over = threading.Event()
        sink = MemorySink(self.ram, self._load, self.taken_over.set)
        sink.commit = self._commit  # type: ignore[method-assign]
        made = ReceiveSettings(address, **settings)  # type: ignore[arg-type]
        self.receiver = Receiver(made, sink, self)
        self._results: list[ReceiveResult] = []
        self.ended = threading.Event()
        """Set once its one migration has; a source may still ask how."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self.receiver.run())
        finally:
            self.ended.set()
        self.receiver.linger()

    def listening(self, address: Address) -> None:
        assert address == self.address

    def progress(self, counters: RelayCounters) -> None:
        assert counters.bytes_out == 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def _load(self, stream: MainStream) -> None:
        if self.fault is not None:
            raise self.fault
        self.tail = stream.tail
        self.state = decode(stream.tail)
        self.meanwhile()

    def _commit(self) -> None:
        self.committing()

    def result(self) -> ReceiveResult:
        assert self.ended.wait(DEADLINE)
        return self._results[0]

    @property
    def listens(self) -> bool:
        """True until nobody can ask any more."""
        return self._thread.is_alive()

    def close(self) -> None:
        self.receiver.stop("the test is over")
        self._thread.join(DEADLINE)
        self.ram.close()


class Run:
    """A sender in a thread, and what it said."""

    def __init__(self, here: Here, address: Address, precopy: Precopy, **settings: object) -> None:
        made = SendSettings(address, **({"method": "none"} | settings))  # type: ignore[arg-type]
        self.statuses: list[str] = []
        self.error: RamferryError | None = None
        self.notes: list[str] = []
        self.sender = Sender(made, precopy, here, self._told, note=self.notes.append)
        self._reached = threading.Condition()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.sender.run()
        except RamferryError as error:
            self.error = error

    def _told(self, status: str) -> None:
        with self._reached:
            self.statuses.append(status)
            self._reached.notify_all()

    def wait(self, status: str) -> None:
        with self._reached:
            assert self._reached.wait_for(lambda: status in self.statuses, DEADLINE), self.statuses

    def join(self) -> None:
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()


@contextmanager
def both(
    folder: Path, workload: Workload = IDLE, tracker: Wanted = "auto"
) -> Iterator[tuple[Here, There]]:
    here, there = Here(workload, tracker), There(UnixAddress(str(folder / "in")))
    try:
        yield here, there
    finally:
        here.close()
        there.close()


def until(true: Callable[[], bool]) -> None:
    patiently.until(true, DEADLINE)
