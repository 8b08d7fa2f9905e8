"""Files and pipes through a command: names, terminals, progress, and an input that is never lost.

``compress`` and ``decompress`` bring a :class:`Task`; everything else is here, once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import click

from ramferry import standard
from ramferry.cli import listing
from ramferry.cli.file_options import Options
from ramferry.cli.pipes import ended_by_closed_pipes
from ramferry.cli.tasks import Task
from ramferry.errors import HostError, RamferryError, UsageError, unreadable
from ramferry.qatzip import Totals
from ramferry.qatzip.stream import Progress, Writer
from ramferry.transport.safefile import SafeFile
from ramferry.vocabulary import Buffer

PIPE = "-"
"""The file name that means standard input, or standard output after ``--output``."""


def run_all(files: Sequence[str], options: Options, task: Task) -> None:
    """Run ``task`` on each file, on standard input where there is none.

    With several files an error is told at once, the others are still done, and the exit code is
    that of the first error.

    :raise RamferryError: what went wrong with the one file.
    """
    files = files or (PIPE,)
    if options.output is not None and len(files) > 1:
        raise UsageError(f"--output names one file, and there are {len(files)} inputs")
    failed: list[RamferryError] = []
    sizes: list[tuple[int, int]] = []
    with _termination(), ended_by_closed_pipes():
        if options.listing:
            click.echo(listing.HEAD)
        for name in files:
            try:
                totals = _run_one(name, options, task)
                sizes.append((totals.bytes_in, totals.bytes_out))
            except RamferryError as error:
                if len(files) == 1:
                    raise
                failed.append(error)
                standard.say(f"ramferry: {error}")
        if options.listing and len(files) > 1:
            click.echo(listing.total(sizes))
    if failed:
        sys.exit(failed[0].exit_code)


def _run_one(name: str, options: Options, task: Task) -> Totals:
    """Take one input to its output, and remove the input if that was asked for."""
    with _input(name, options, task) as (fd, status):
        removable = None if name == PIPE else Path(name)
        target = _target(name, options, task)
        if target is None or options.discard:
            totals = _work(name, fd, status, options, task, None)
            removable = None
        else:
            with SafeFile(target, replace=options.force, like=status) as safe:
                totals = _work(name, fd, status, options, task, (str(target), safe.fd))
                safe.commit()
        if options.verbose:
            click.echo(_summary(name, totals), err=True)
        if options.listing:
            click.echo(listing.row(_inner(name, task), totals.bytes_in, totals.bytes_out))
        if removable and not options.keep:
            _remove(removable, status)
    return totals


def _inner(name: str, task: Task) -> str:
    """The name of what is in a compressed file, made from the file's own name."""
    try:
        return "stdout" if name == PIPE else str(task.target(Path(name), force=False))
    except UsageError:
        return name


def _target(name: str, options: Options, task: Task) -> Path | None:
    """Name the output file; None is standard output."""
    if options.discard:
        return None
    if options.output is not None and not options.to_stdout and options.output != PIPE:
        return Path(options.output)
    if name == PIPE or options.to_stdout or options.output == PIPE:
        if task.compresses and os.isatty(1) and not options.force:
            raise UsageError("compressed data is not written to a terminal: redirect it, or -f")
        return None
    return task.target(Path(name), options.force)


@contextlib.contextmanager
def _input(name: str, options: Options, task: Task) -> Iterator[tuple[int, os.stat_result]]:
    """Open an input; refuse what cannot be one, or what cannot be removed as asked."""
    if name == PIPE:
        if not task.compresses and os.isatty(0) and not options.force:
            raise UsageError("compressed data is not read from a terminal: name a file, or -f")
        try:
            status = os.fstat(0)
        except OSError as error:
            raise HostError(f"cannot read standard input: {error.strerror}") from error
        yield 0, status
        return
    removes = not (options.keep or options.to_stdout or options.discard or options.output == PIPE)
    try:
        if removes and not options.force and stat.S_ISLNK(os.lstat(name).st_mode):
            raise UsageError(f"{name} is a link: --keep it, or --force to follow and remove it")
        mode = os.stat(name).st_mode
        if stat.S_ISDIR(mode) or (removes and not stat.S_ISREG(mode)):
            raise UsageError(f"{name} is not a regular file")
        fd = os.open(name, os.O_RDONLY)
    except OSError as error:
        raise unreadable(name, error) from error
    try:
        yield fd, os.fstat(fd)
    finally:
        os.close(fd)


def _work(
    name: str,
    fd: int,
    status: os.stat_result,
    options: Options,
    task: Task,
    target: tuple[str, int] | None,
) -> Totals:
    """Run the task between two open files, with progress on a terminal."""
    shown = "standard input" if name == PIPE else name
    writer: Writer = _Discard()
    if not options.discard:
        writer = _File(*(target or ("standard output", 1)))
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    with _progress(shown, size) as progress:
        return task.run(shown, _File(shown, fd), writer, progress)


class _File:
    """An open file by number, unbuffered; its errors name it."""

    def __init__(self, name: str, fd: int) -> None:
        self._name = name
        self._fd = fd

    def read(self, size: int, /) -> bytes:
        with self._named("read"):
            return os.read(self._fd, size)

    def readinto(self, buffer: memoryview, /) -> int:
        with self._named("read"):
            return os.readv(self._fd, [buffer])

    def write(self, data: Buffer, /) -> int:
        with self._named("write"):
            return os.write(self._fd, data)

    @contextlib.contextmanager
    def _named(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise HostError(f"cannot {verb} {self._name}: {error.strerror}") from error


class _Discard:
    """Takes everything and keeps nothing."""

    def write(self, data: Buffer, /) -> int:
        return len(data)


def _remove(path: Path, status: os.stat_result) -> None:
    """Remove the input, unless another file has taken its name meanwhile."""
    try:
        if os.path.samestat(path.stat(), status):
            path.unlink()
    except OSError as error:
        raise HostError(f"cannot remove {path}: {error.strerror}") from error


def _summary(name: str, totals: Totals) -> str:
    """Say in a line what was done: the ratio is of the larger side to the smaller."""
    small, large = sorted((totals.bytes_in, totals.bytes_out))
    ratio = f"{large / small:.2f}:1" if small else "empty"
    shown = "standard input" if name == PIPE else name
    return f"{shown}: {totals.bytes_in:,} → {totals.bytes_out:,} bytes, {ratio}, {totals.backend}"


@contextlib.contextmanager
def _progress(name: str, size: int | None) -> Iterator[Progress]:
    """Show how much of ``size`` input bytes is read, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _bytes_in, _bytes_out: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (
        "{task.description}",
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(name.replace("[", r"\["), total=size)
        yield lambda bytes_in, _bytes_out: bars.update(bar, completed=bytes_in)


@contextlib.contextmanager
def _termination() -> Iterator[None]:
    """End on SIGTERM and SIGHUP as on Ctrl-C, through every ``with`` block, by gzip's codes."""

    def end(number: int, _frame: object) -> NoReturn:
        with contextlib.suppress(OSError):  # not by print, in the middle of which this may be
            os.write(2, f"ramferry: ended by {signal.Signals(number).name}\n".encode())
        sys.exit(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
