"""Reads a guest's memory: of a running QEMU, or from a file with its RAM.

A QEMU writes pieces of its guest's memory into a file (QMP ``pmemsave``) while the guest runs on.
The file holds one piece at a time and is removed at the end. It is in a folder that only this user
and the QEMU's may enter, in memory if possible, so that it reaches no disk.
"""

from __future__ import annotations

import os
import stat
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

from ramferry.control.hosts.contract import SharedFolder
from ramferry.control.plan.memory_map import Extent, layout
from ramferry.control.qemu.end import QemuEnd
from ramferry.errors import HostError, MethodUnavailable, PeerUnreachable, UsageError, unreadable
from ramferry.forecast.sampling import Read
from ramferry.transport.tempfolder import IN_MEMORY


@contextmanager
def qemu_memory(end: QemuEnd, scratch: Path | None) -> Iterator[tuple[int, Read]]:
    """A QEMU's guest: bytes of memory, and a function that reads them.

    :param scratch: a folder that the QEMU may write in; by default one in memory.
    :raise UsageError: the QEMU is not on this host, or ``scratch`` cannot be used.
    :raise MethodUnavailable: the QEMU does not tell its memory layout.
    """
    uri = end.party.uri
    if end.party.process is None:
        raise UsageError(
            f"the QEMU at {uri} is not on this host, or in a container of its own, and would write"
            " the sample there: run this command beside it"
        )
    extents = layout(end, uri)
    with _folder(end, scratch) as folder:
        folder.require(writes=True)
        folder.hand_over()
        yield sum(extent.size for extent in extents), _Pieces(end, extents, folder.path).read


@contextmanager
def file_memory(path: Path) -> Iterator[tuple[int, Read]]:
    """A file with a guest's RAM: its size, and a function that reads it.

    :raise UsageError: there is no such file, or it is not a regular file.
    :raise HostError: it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise unreadable(path, error) from error
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
        """Read ``size`` bytes at an offset, one piece from each extent that they touch."""
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


def _folder(end: QemuEnd, scratch: Path | None) -> SharedFolder:
    """:raise UsageError: no folder can be made in ``scratch``."""
    if scratch is None:
        return end.party.folder(IN_MEMORY, Path(tempfile.gettempdir()))
    try:
        return end.party.folder(scratch)
    except HostError as error:
        raise UsageError(str(error)) from error


def _exactly(descriptor: int, at: int, size: int, path: Path) -> bytes:
    try:
        raw = os.pread(descriptor, size, at)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(raw) < size:
        raise HostError(f"{path} ends after {at + len(raw)} bytes, where {at + size} were expected")
    return raw
