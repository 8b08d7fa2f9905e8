"""One guest, and migrations from it to fresh ones: what QEMUs and built-in guests have in common.

The source keeps its RAM: after a migration its guest runs on, so that the next migration carries
the same pages. A destination's RAM is touched before its guest comes, as QEMU's ``prealloc`` does:
the first touch of every page costs the same with every method and would blur the differences.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.course import migrate
from ramferry.control.migrate.route import Wish
from ramferry.control.qemu.qmp import Qmp
from ramferry.errors import RamferryError
from ramferry.metrics import MigrationResult

MIGRATION_SECONDS: Final = 600.0
COMPARED: Final = 64 << 20
"""Bytes of RAM that are compared at a time, since a comparison takes as much memory again."""


class Station(Protocol):
    """A process with a guest's RAM and a monitor: a QEMU, or a built-in guest."""

    uri: str
    qmp: Qmp
    ram: NDArray[np.uint8]

    def __enter__(self) -> Self:
        """Start it."""

    def __exit__(self, *exc: object) -> None:
        """End it."""


One = TypeVar("One", bound=Station)


class MovingRig(ABC, Generic[One]):
    """A context manager that starts and ends the source, whose guest ``carry`` migrates."""

    def __init__(self, source: One) -> None:
        """
        :param source: not yet started; entering the context starts it.
        """
        self.source = source

    def __enter__(self) -> Self:
        self.source.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.source.__exit__(*exc)

    @abstractmethod
    def fresh(self) -> One:
        """Make a destination that will wait for the guest; it is not yet started."""

    def arrange(self, destination: One, *, qemu_tls: bool) -> None:
        """Set what the next migration needs beside what ``migrate`` sets.

        :param qemu_tls: whether the two QEMUs are to encrypt it.
        """

    @abstractmethod
    def compare(self, destination: One) -> None:
        """Compare the destination's stopped guest with the source's.

        :raise MigrationFailed: they differ.
        """

    def carry(
        self,
        wish: Wish,
        hooks: Hooks,
        timeout: float = MIGRATION_SECONDS,
        *,
        qemu_tls: bool = False,
    ) -> MigrationResult:
        """Migrate once, check the guest that arrived, and let the source run on as before.

        :param timeout: seconds until the migration is cancelled.
        :param qemu_tls: whether the two QEMUs encrypt it by themselves.
        :raise RamferryError: as ``control.migrate.course.migrate`` or ``compare``. The source can
            be used again after ``revive``.
        """
        with self.fresh() as destination:
            destination.ram[:] = 0
            self.arrange(destination, qemu_tls=qemu_tls)
            result = migrate(self.source.uri, destination.uri, wish, hooks, timeout=timeout)
            destination.qmp.execute("stop")
            self.compare(destination)
        self.source.qmp.execute("cont")
        return result

    def revive(self) -> None:
        """After a failed ``carry`` let the source's guest run, in a new process if it has ended.

        :raise RamferryError: a new process cannot be started.
        """
        try:
            self.source.qmp.execute("cont")
        except RamferryError:  # it ended, or does not answer, or has given its guest away
            self.source.__exit__(None, None, None)
            self.__enter__()


def same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Whether two RAMs of one size have the same bytes."""
    places = range(0, len(one), COMPARED)
    return all(np.array_equal(one[at : at + COMPARED], other[at : at + COMPARED]) for at in places)
