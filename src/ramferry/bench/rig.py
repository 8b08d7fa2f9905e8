"""One source QEMU with filled RAM, and migrations from it to fresh destinations.

The source keeps its RAM: after a migration its guest is continued, so that the next one carries
the same pages. A destination's RAM is touched before QEMU gets it, as with QEMU's ``prealloc``:
otherwise the first touch of every page, which no method can change, blurs what is compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np

from ramferry.bench import guest
from ramferry.bench.fill import LOW_MEMORY, fill
from ramferry.bench.qemu import Qemu, QemuBinary
from ramferry.control.hooks import Hooks
from ramferry.control.migration import migrate
from ramferry.control.plan import Wish
from ramferry.errors import MigrationFailed, PeerTimeout
from ramferry.metrics import MigrationResult

BOOT_SECONDS: Final = 30.0
"""How long the guest may take to its first timer tick: 1 s under KVM, more without."""
MIGRATION_SECONDS: Final = 600.0


class Rig:
    """A context manager: the source, its idle guest, and ``carry``."""

    def __init__(
        self,
        source: QemuBinary,
        destination: QemuBinary,
        memory: int,
        files: tuple[Path, ...] = (),
    ) -> None:
        """Describe it; entering the context boots and fills the source.

        :param memory: the guest's RAM in bytes.
        :param files: what fills it; the generator where there are none.
        """
        self._destination = destination
        self._machine = source.machine
        self._memory = memory
        self._files = files
        self._boot = guest.boot_sector(memory, first=LOW_MEMORY, rate=0.0)
        self._source = Qemu(source, memory, boot=self._boot, machine=self._machine)

    def __enter__(self) -> Self:
        self._source.__enter__()
        try:
            fill(self._source.ram, files=self._files)
            self._source.qmp.execute("cont")
            self._wait(lambda: guest.state(self._source.ram).beats > 0)
        except BaseException:
            self._source.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._source.__exit__(kind, error, trace)

    def carry(self, wish: Wish, hooks: Hooks) -> MigrationResult:
        """Migrate once, compare both RAMs, and leave the source running as before.

        :raise RamferryError: as ``control.migration.migrate``; MigrationFailed, too, where the
            destination's RAM is not the source's.
        """
        destination = Qemu(
            self._destination,
            self._memory,
            boot=self._boot,
            machine=self._machine,
            incoming=True,
            paused=False,
        )
        with destination:
            destination.ram[:] = 0
            result = migrate(
                self._source.uri, destination.uri, wish, hooks, timeout=MIGRATION_SECONDS
            )
            destination.qmp.execute("stop")
            same = np.array_equal(self._source.ram[LOW_MEMORY:], destination.ram[LOW_MEMORY:])
        if not same:
            raise MigrationFailed("the destination's RAM differs from the source's")
        self._source.qmp.execute("cont")
        return result

    def _wait(self, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while not met():
            if time.monotonic() > deadline:
                raise PeerTimeout(f"the guest did not start within {BOOT_SECONDS:.0f} s")
            time.sleep(0.01)
