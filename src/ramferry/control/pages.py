"""A guest's memory as something to read from: of a running QEMU, or from a file with its RAM.

A QEMU writes pieces of its guest's memory into a file (QMP ``pmemsave``) while the guest runs on.
That file stands in a folder that only this user, and the QEMU's, may enter; one piece at a time,
and it is gone at the end.
"""

from __future__ import annotations

import os
import stat
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from typing import Final

from ramferry.control.end import QemuEnd
from ramferry.control.layout import Extent, layout
from ramferry.control.sampling import Read
from ramferry.errors import HostError, MethodUnavailable, PeerUnreachable, UsageError

IN_MEMORY: Final = Path("/dev/shm")
"""Preferred: guest memory that is written here reaches no disk."""


@contextmanager
def qemu_memory(end: QemuEnd, scratch: Path | None) -> Iterator[tuple[int, Read]]:
    """A QEMU's guest: bytes of memory, and how to read them.

    :param scratch: a folder that the QEMU may write in; by default one in memory.
    :raise UsageError: the QEMU is not on this host, or ``scratch`` cannot be used.
    :raise MethodUnavailable: the QEMU does not tell its memory layout.
    """
    uri, pid = end.party.uri, end.party.pid
    if pid is None:
        raise UsageError(
            f"the QEMU at {uri} is not on this host, or in a container of its own, and would write"
            " the sample there: run this command beside it"
        )
    extents = layout(end, uri)
    with _folder(scratch, pid) as folder:
        yield sum(extent.size for extent in extents), _Pieces(end, extents, folder).read


@contextmanager
def file_memory(path: Path) -> Iterator[tuple[int, Read]]:
    """A file with a guest's RAM: its size, and how to read it.

    :raise UsageError: it is not a regular file.
    :raise HostError: it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}") from error
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise UsageError(f"{path} is no file with a guest's RAM")

        def read(at: int, size: int) -> bytes:
            return _exactly(descriptor, at, size, path)

        yield facts.st_size, read
    finally:
        os.close(descriptor)


class _Pieces:
    """Reads a guest's memory, whose address space has holes, as if it had none."""

    def __init__(self, end: QemuEnd, extents: tuple[Extent, ...], folder: Path) -> None:
        self._end = end
        self._extents = extents
        self._starts = [0, *accumulate(extent.size for extent in extents)]
        self._file = folder / "piece"

    def read(self, at: int, size: int) -> bytes:
        """Read what lies at an offset, a piece of each extent that it touches."""
        parts = []
        while size:
            number = bisect_right(self._starts, at) - 1
            extent, inside = self._extents[number], at - self._starts[number]
            length = min(size, extent.size - inside)
            parts.append(self._save(extent.address + inside, length))
            at, size = at + length, size - length
        return b"".join(parts)

    def _save(self, address: int, size: int) -> bytes:
        arguments = {"val": address, "size": size, "filename": str(self._file)}
        try:
            self._end.execute("pmemsave", arguments)
        except MethodUnavailable as error:
            raise HostError(
                f"{error}; give a folder that it may write in with --scratch, or a file with the"
                " guest's RAM"
            ) from error
        except PeerUnreachable as error:
            raise PeerUnreachable(f"the QEMU ended while it was sampled: {error}") from error
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(self._file, flags)
        except OSError as error:
            raise HostError(
                f"the QEMU at {self._end.party.uri} wrote a piece of its memory, but it cannot be"
                f" read at {self._file} ({error.strerror}), as where it sees another file system:"
                " give a folder that both see with --scratch"
            ) from error
        try:
            return _exactly(descriptor, 0, size, self._file)
        finally:
            os.close(descriptor)


@contextmanager
def _folder(scratch: Path | None, pid: int) -> Iterator[Path]:
    """A folder of its own, entered by the QEMU's user and this one; gone at the end."""
    parent = scratch or (IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None)
    try:
        folder = Path(tempfile.mkdtemp(prefix="ramferry-", dir=parent)).absolute()
    except OSError as error:
        raise UsageError(f"cannot make a folder in {parent}: {error.strerror}") from error
    try:
        _give(folder, pid)
        yield folder
    finally:
        with suppress(FileNotFoundError):
            (folder / "piece").unlink()
        folder.rmdir()


def _give(folder: Path, pid: int) -> None:
    """Hand the folder to the QEMU's user where that is another.

    :raise HostError: it is, and this one may not.
    """
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError as error:
        raise PeerUnreachable(f"the QEMU, process {pid}, has ended") from error
    if owner == os.geteuid():
        return
    try:
        os.chown(folder, owner, -1)
    except OSError as error:
        raise HostError(
            f"the QEMU runs as another user ({owner}), who cannot write where this one reads: run"
            " this command as that user or as root, or give a file with the guest's RAM"
        ) from error


def _exactly(descriptor: int, at: int, size: int, path: Path) -> bytes:
    try:
        raw = os.pread(descriptor, size, at)
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}") from error
    if len(raw) < size:
        raise HostError(f"{path} ends after {at + len(raw)} bytes, where {at + size} were expected")
    return raw
