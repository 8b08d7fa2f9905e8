"""The built-in guest's processor: a thread that does its workload's writes at their rate."""

from __future__ import annotations

import threading
import time
from typing import Final

from ramferry.guest.workload import Workload
from ramferry.ram.blocks import RamBlock

_TICK: Final = 0.01
"""Seconds between two bursts of writes."""
_BEHIND: Final = 0.1
"""A guest that fell behind its rate catches up on so many seconds at most."""
_AT_ONCE: Final = 2048
"""Writes between two looks at whether to stop: a few milliseconds, even for whole pages."""


class Vcpu:
    """The processor, which is stopped at first. ``close`` ends its thread."""

    def __init__(self, block: RamBlock, workload: Workload, counter: int = 0) -> None:
        """
        :param counter: the number of writes that the guest has done before.
        """
        self.block = block
        self.workload = workload
        self.counter = counter
        """The number of writes done; may be read at any time."""
        self.beats = 0
        """The number of ticks during which the guest ran in this process."""
        self._running = False
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="vCPU 0", daemon=True)
        self._thread.start()

    @property
    def thread_id(self) -> int:
        """The thread's id in the kernel."""
        return self._thread.native_id or 0

    @property
    def running(self) -> bool:
        """Whether the guest runs."""
        return self._running

    def start(self) -> None:
        """Let the guest run."""
        with self._changed:
            self._running = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Stop the guest; after this nothing is written any more."""
        with self._changed:
            self._running = False

    def load(self, workload: Workload, counter: int) -> None:
        """Take over the state of a guest that arrived; only while stopped."""
        with self._changed:
            self.workload, self.counter = workload, counter

    def close(self) -> None:
        """End it for good."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        due, last = 0.0, time.monotonic()
        while True:
            with self._changed:
                if not self._running:
                    self._changed.wait_for(lambda: self._running or self._ended)
                    due, last = 0.0, time.monotonic()
                if self._ended:
                    return
                self._write(min(int(due), _AT_ONCE))
            due -= min(int(due), _AT_ONCE)
            if due >= 1:
                continue
            time.sleep(_TICK)
            self.beats += 1
            rate = self.workload.rate / self.block.page_size
            now = time.monotonic()
            due, last = due + rate * min(now - last, _BEHIND), now

    def _write(self, count: int) -> None:
        if count:
            self.workload.write(self.block.pages, self.counter, count)
            self.counter += count
