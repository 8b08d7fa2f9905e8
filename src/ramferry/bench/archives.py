"""Saving and restoring a guest: Ramferry's files against what QEMU itself can do.

QEMU writes its one stream to a command (``exec:``) or, from 8.2 on, a file (``file:``). Every way
saves the same stopped guest, and every file is restored into a fresh QEMU whose RAM is compared.
"""

from __future__ import annotations

import os
import resource
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Final, Self

import numpy as np
import psutil

from ramferry.bench import guest
from ramferry.bench.fill import LOW_MEMORY, fill
from ramferry.bench.qemu import Qemu, QemuBinary
from ramferry.control.hooks import ArchiveHooks
from ramferry.control.restore import restore
from ramferry.control.save import SaveWish, save
from ramferry.control.status import ENDED
from ramferry.errors import Cancelled, MigrationFailed, PeerTimeout

SECONDS: Final = 600.0
"""For one save or restore."""
_POLL: Final = 0.005
FILE_SINCE: Final = (8, 2, 0)
"""QEMU's first version with ``file:``."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a guest goes to a file and comes back."""

    name: str
    method: str = ""
    """Of ``ramferry save``; empty where QEMU does it."""
    save_uri: str = ""
    """QEMU's, with ``{}`` for the file."""
    restore_uri: str = ""


@dataclass(frozen=True, slots=True)
class Course:
    """One save and the restore of its file."""

    save_seconds: float
    save_cpu_seconds: float
    """Of the QEMU, its commands and this process."""
    size: int
    """Bytes of the file."""
    restore_seconds: float
    restore_cpu_seconds: float


OURS: Final = (
    Way("ramferry save, zstd 1", "zstd"),
    Way("ramferry save, qatzip 1", "qatzip"),
    Way("ramferry save, none", "none"),
)
EXEC: Final = Way("QEMU exec:zstd -1", "", "exec:zstd -q -1 -c > {}", "exec:zstd -q -dc {}")
FILE: Final = Way("QEMU file:", "", "file:{}", "file:{}")


def ways(binary: QemuBinary) -> list[Way]:
    """Those that can be compared here."""
    found = [*OURS]
    if shutil.which("zstd"):
        found.append(EXEC)
    if binary.version >= FILE_SINCE:
        found.append(FILE)
    return found


class ArchiveRig:
    """A stopped guest full of data; a context manager that starts and ends its QEMU."""

    def __init__(
        self, binary: QemuBinary, memory: int, folder: Path, files: tuple[Path, ...] = ()
    ) -> None:
        """
        :param memory: the guest's RAM in bytes.
        :param folder: where the files go, one at a time.
        :param files: what fills the RAM; the generator where there are none.
        """
        self._binary = binary
        self._memory = memory
        self._files = files
        self._boot = guest.boot_sector(memory, first=LOW_MEMORY, rate=0.0)
        self._source = Qemu(binary, memory, boot=self._boot)
        self._path = folder / "guest"

    def __enter__(self) -> Self:
        self._source.__enter__()
        try:
            fill(self._source.ram, files=self._files)
            self._source.qmp.execute("migrate-set-parameters", {"max-bandwidth": 0})
            self._stand_still()
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
        self._path.unlink(missing_ok=True)
        self._source.__exit__(kind, error, trace)

    def course(self, way: Way, channels: int, stop: threading.Event) -> Course:
        """Save, restore, compare.

        :raise MigrationFailed: one of them failed, or another RAM came back.
        :raise Cancelled: ``stop`` was set.
        """
        self._path.unlink(missing_ok=True)
        hooks = ArchiveHooks(lambda *_: None, lambda _: None, stop)
        saved = self._timed(self._source, lambda: self._save(way, channels, hooks))
        size = self._path.stat().st_size
        self._stand_still()
        target = Qemu(
            self._binary,
            self._memory,
            boot=self._boot,
            incoming=True,
            machine=self._binary.machine,
        )
        with target:
            target.ram[:] = 0
            back = self._timed(target, lambda: self._restore(way, target, channels, hooks))
            if not np.array_equal(self._source.ram[LOW_MEMORY:], target.ram[LOW_MEMORY:]):
                raise MigrationFailed(f"{way.name}: another RAM came back")
        return Course(*saved, size, *back)

    def _stand_still(self) -> None:
        """From prelaunch or postmigrate to a stopped guest.

        Once it has booted it writes only below what is compared.
        """
        self._source.qmp.execute("cont")
        never = threading.Event()
        self._wait(never, lambda: guest.state(self._source.ram).beats > 0)
        self._source.qmp.execute("stop")

    def _save(self, way: Way, channels: int, hooks: ArchiveHooks) -> None:
        if way.method:
            save(self._source.uri, SaveWish(self._path, way.method, None, channels), hooks)
            return
        self._source.qmp.execute("migrate", {"uri": way.save_uri.format(self._path)})
        self._wait(hooks.stop, lambda: _status(self._source) in ENDED)
        if (status := _status(self._source)) != "completed":
            raise MigrationFailed(f"{way.name}: the migration is {status}")

    def _restore(self, way: Way, target: Qemu, channels: int, hooks: ArchiveHooks) -> None:
        if way.method:
            restore(self._path, target.uri, channels, hooks)
            return
        target.qmp.execute("migrate-incoming", {"uri": way.restore_uri.format(self._path)})
        self._wait(hooks.stop, lambda: target.qmp.execute("query-status")["status"] != "inmigrate")

    def _wait(self, stop: threading.Event, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not met():
            if stop.wait(_POLL):
                raise Cancelled("stopped in the middle of a run")
            if time.monotonic() > deadline:
                raise PeerTimeout(f"not done within {SECONDS:g} s")

    def _timed(self, qemu: Qemu, work: Callable[[], None]) -> tuple[float, float]:
        """Seconds, and CPU seconds of the QEMU, its commands and this process."""
        began, before = time.monotonic(), _cpu(qemu)
        work()
        return time.monotonic() - began, _cpu(qemu) - before


def _status(qemu: Qemu) -> str:
    return str(qemu.qmp.execute("query-migrate").get("status", "none"))


def _cpu(qemu: Qemu) -> float:
    times = psutil.Process(qemu.pid).cpu_times()
    ours = resource.getrusage(resource.RUSAGE_SELF)
    theirs = times.user + times.system + times.children_user + times.children_system
    return theirs + ours.ru_utime + ours.ru_stime


def table(courses: dict[Way, list[Course]]) -> str:
    """Medians, and the least and greatest in brackets."""
    rows = [("", "save s", "CPU s", "file MB", "restore s", "CPU s")]
    for way, done in courses.items():
        if not done:
            continue
        rows.append(
            (
                way.name,
                _spread([one.save_seconds for one in done]),
                _spread([one.save_cpu_seconds for one in done]),
                f"{median(one.size for one in done) / 1e6:.1f}",
                _spread([one.restore_seconds for one in done]),
                _spread([one.restore_cpu_seconds for one in done]),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + "\n"
        for row in rows
    )


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def folder_for(size: int) -> Path:
    """A folder in memory where it has room, so that no disk blurs what is compared."""
    shm = Path("/dev/shm")
    if shm.is_dir() and shutil.disk_usage(shm).free > 2 * size:
        return shm
    return Path(os.environ.get("TMPDIR", "/tmp"))
