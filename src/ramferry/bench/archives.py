"""Saving and restoring a guest: Ramferry's files against what QEMU itself can do.

Every way of ``bench.archive_ways`` saves the same stopped guest, and every file is restored into a
fresh QEMU whose RAM is compared.
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
from typing import Any, Final, Self

import psutil

from ramferry.bench.archive_ways import Way
from ramferry.bench.qemu import Qemu, QemuBinary
from ramferry.bench.rig import Rig
from ramferry.control.archive.callbacks import ArchiveHooks
from ramferry.control.archive.restore import restore
from ramferry.control.archive.save import save
from ramferry.control.archive.wish import SaveWish
from ramferry.control.qemu.status import ENDED
from ramferry.errors import Cancelled, MigrationFailed, PeerTimeout
from ramferry.interruption import pause
from ramferry.patience import Patience
from ramferry.report.drawing import text
from ramferry.report.grid import Column, Grid, row

SECONDS: Final = 600.0
"""Time limit of one save or restore."""
_POLL: Final = 0.005
_BLOCK: Final = 512
"""Bytes of a block as ``stat`` counts them."""
_COLUMNS: Final = (
    Column("", words=True),
    *map(Column, ("save s", "CPU s", "file MB", "restore s", "CPU s")),
)


@dataclass(frozen=True, slots=True)
class Course:
    """One save and the restore of its file."""

    save_seconds: float
    save_cpu_seconds: float
    """CPU time of the QEMU, the commands it runs and this process."""
    size: int
    """Bytes that the file takes on its disk: a sparse one has holes."""
    restore_seconds: float
    restore_cpu_seconds: float


class ArchiveRig:
    """A stopped guest full of data; a context manager that starts and ends its QEMU."""

    def __init__(
        self, binary: QemuBinary, memory: int, folder: Path, files: tuple[Path, ...] = ()
    ) -> None:
        """
        :param memory: the guest's RAM in bytes.
        :param folder: a folder for the saved file; there is one at a time.
        :param files: what fills the RAM; if there are none, generated data.
        """
        self._rig = Rig(binary, binary, memory, files)
        self._source = self._rig.source
        self._path = folder / "guest"

    def __enter__(self) -> Self:
        self._rig.__enter__()
        try:
            self._source.qmp.execute("migrate-set-parameters", {"max-bandwidth": 0})
            self._source.qmp.execute("stop")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._path.unlink(missing_ok=True)
        self._rig.__exit__(*exc)

    def course(self, way: Way, channels: int, stop: threading.Event) -> Course:
        """Save, restore, compare.

        :raise MigrationFailed: one of them failed, or the restored RAM differs.
        :raise Cancelled: ``stop`` was set.
        """
        self._path.unlink(missing_ok=True)
        hooks = ArchiveHooks(lambda *_: None, lambda _: None, stop)
        saved = self._timed(self._source, lambda: self._save(way, channels, hooks))
        size = self._path.stat().st_blocks * _BLOCK
        # out of postmigrate; this guest writes only below what is compared
        self._source.qmp.execute("cont")
        self._source.qmp.execute("stop")
        with self._rig.fresh(paused=True) as target:
            target.ram[:] = 0
            back = self._timed(target, lambda: self._restore(way, target, channels, hooks))
            self._rig.compare(target)
        return Course(*saved, size, *back)

    def _save(self, way: Way, channels: int, hooks: ArchiveHooks) -> None:
        if way.method:
            save(self._source.uri, SaveWish(self._path, way.method, None, channels), hooks)
            return
        _set(self._source, way.settings(channels))
        self._source.qmp.execute("migrate", {"uri": way.save_uri.format(self._path)})
        self._wait(hooks.stop, lambda: _status(self._source) in ENDED)
        if (status := _status(self._source)) != "completed":
            raise MigrationFailed(f"{way.name}: the migration is {status}")
        _set(self._source, way.settings(channels, on=False))

    def _restore(self, way: Way, target: Qemu, channels: int, hooks: ArchiveHooks) -> None:
        if way.method:
            restore(self._path, target.uri, channels, hooks)
            return
        _set(target, way.settings(channels))
        target.qmp.execute("migrate-incoming", {"uri": way.restore_uri.format(self._path)})
        self._wait(hooks.stop, lambda: target.qmp.execute("query-status")["status"] != "inmigrate")

    def _wait(self, stop: threading.Event, met: Callable[[], bool]) -> None:
        patience = Patience(SECONDS)
        while not met():
            if pause(stop, _POLL):
                raise Cancelled("stopped in the middle of a run")
            if patience.over:
                raise PeerTimeout(f"not done within {SECONDS:g} s")

    def _timed(self, qemu: Qemu, work: Callable[[], None]) -> tuple[float, float]:
        """Seconds of the work, and CPU seconds of the QEMU, its commands and this process."""
        began, before = time.monotonic(), _cpu(qemu)
        work()
        return time.monotonic() - began, _cpu(qemu) - before


def _set(qemu: Qemu, commands: list[tuple[str, dict[str, Any]]]) -> None:
    for command, arguments in commands:
        qemu.qmp.execute(command, arguments)


def _status(qemu: Qemu) -> str:
    return str(qemu.qmp.execute("query-migrate").get("status", "none"))


def _cpu(qemu: Qemu) -> float:
    times = psutil.Process(qemu.pid).cpu_times()
    ours = resource.getrusage(resource.RUSAGE_SELF)
    theirs = times.user + times.system + times.children_user + times.children_system
    return theirs + ours.ru_utime + ours.ru_stime


def table(courses: dict[Way, list[Course]]) -> str:
    """The medians of each way, with the least and the greatest in brackets, as plain text."""
    rows = (
        row(
            way.name,
            _spread([one.save_seconds for one in done]),
            _spread([one.save_cpu_seconds for one in done]),
            f"{median(one.size for one in done) / 1e6:.1f}",
            _spread([one.restore_seconds for one in done]),
            _spread([one.restore_cpu_seconds for one in done]),
        )
        for way, done in courses.items()
        if done
    )
    return text.draw(Grid(_COLUMNS, tuple(rows)))


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def folder_for(size: int) -> Path:
    """A folder in memory if there is room, so that no disk disturbs the comparison."""
    shm = Path("/dev/shm")
    if shm.is_dir() and shutil.disk_usage(shm).free > 2 * size:
        return shm
    return Path(os.environ.get("TMPDIR", "/tmp"))
