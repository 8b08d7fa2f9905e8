"""One source QEMU with filled RAM, and migrations from it to fresh destinations.

The source keeps its RAM: after a migration its guest is continued, so that the next one carries
the same pages. A destination's RAM is touched before QEMU gets it, as with QEMU's ``prealloc``:
otherwise the first touch of every page, which no method can change, blurs what is compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ramferry.bench import guest
from ramferry.bench.fill import LOW_MEMORY, fill
from ramferry.bench.qemu import Qemu, QemuBinary
from ramferry.control.hooks import Hooks
from ramferry.control.migration import migrate
from ramferry.control.namespaces import HERE, Namespaces, launcher
from ramferry.control.plan import Wish
from ramferry.errors import MigrationFailed, PeerTimeout, RamferryError
from ramferry.metrics import MigrationResult

BOOT_SECONDS: Final = 30.0
"""How long the guest may take to its first timer tick: 1 s under KVM, more without."""
MIGRATION_SECONDS: Final = 600.0
COMPARED: Final = 64 << 20
"""Bytes of RAM that are compared at a time: a whole guest's would take as much again."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the guest writes while it moves."""

    rate: float = 0.0
    """Bytes of pages a second; 0: it is idle."""
    hot: int = 0
    """Bytes that it writes over and over, from ``LOW_MEMORY`` on; 0 where it is idle."""

    def boot_sector(self, memory: int) -> bytes:
        """The guest of ``memory`` bytes that does it."""
        end = LOW_MEMORY + self.hot if self.rate else min(memory, guest.HIGHEST)
        return guest.boot_sector(end, first=LOW_MEMORY, rate=self.rate / 1e6)


class Rig:
    """A context manager: the source, its guest, and ``carry``."""

    def __init__(
        self,
        source: QemuBinary,
        destination: QemuBinary,
        memory: int,
        files: tuple[Path, ...] = (),
        *,
        load: Load = Load(),
        namespaces: Namespaces = HERE,
    ) -> None:
        """Describe it; entering the context boots and fills the source.

        :param memory: the guest's RAM in bytes.
        :param files: what fills it; the generator where there are none.
        :param namespaces: where the two QEMUs run.
        """
        self._destination = destination
        self._machine = source.machine
        self._memory = memory
        self._files = files
        self._load = load
        self._namespaces = namespaces
        self._boot = load.boot_sector(memory)
        self._source = Qemu(
            source,
            memory,
            boot=self._boot,
            machine=self._machine,
            launcher=launcher(namespaces.source),
        )

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

    def carry(
        self, wish: Wish, hooks: Hooks, timeout: float = MIGRATION_SECONDS
    ) -> MigrationResult:
        """Migrate once, compare both RAMs, and leave the source running as before.

        :param timeout: seconds until the migration is cancelled.
        :raise RamferryError: as ``control.migration.migrate``; MigrationFailed, too, where the
            destination's RAM is not the source's. The source runs then, too, and can be used again
            where ``revive`` says so.
        """
        destination = Qemu(
            self._destination,
            self._memory,
            boot=self._boot,
            machine=self._machine,
            incoming=True,
            paused=False,
            launcher=launcher(self._namespaces.destination),
        )
        with destination:
            destination.ram[:] = 0
            result = migrate(self._source.uri, destination.uri, wish, hooks, timeout=timeout)
            destination.qmp.execute("stop")
            self._compare(destination)
        self._source.qmp.execute("cont")
        return result

    def revive(self) -> None:
        """After a failed ``carry``: let the source's guest run, in a new QEMU where that is gone.

        :raise RamferryError: a new one cannot be started.
        """
        try:
            self._source.qmp.execute("cont")
        except RamferryError:  # it ended, or does not answer, or has given its guest away
            self._source.__exit__(None, None, None)
            self.__enter__()

    def _compare(self, destination: Qemu) -> None:
        """:raise MigrationFailed: the destination's guest does not have the source's memory."""
        first = LOW_MEMORY + self._load.hot
        if not _same(self._source.ram[first:], destination.ram[first:]):
            raise MigrationFailed("the destination's RAM differs from the source's")
        if self._load.hot:
            verdict = guest.verify(destination.ram)
            if not verdict.ok:
                raise MigrationFailed(
                    f"the destination's RAM is not what its guest wrote: {verdict}"
                )

    def _wait(self, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while not met():
            if time.monotonic() > deadline:
                raise PeerTimeout(f"the guest did not start within {BOOT_SECONDS:.0f} s")
            time.sleep(0.01)


def _same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    places = range(0, len(one), COMPARED)
    return all(np.array_equal(one[at : at + COMPARED], other[at : at + COMPARED]) for at in places)
