"""A guest's RAM blocks over one memfd or file: mapped once, seen as bytes and as pages.

Pages are addressed by their byte offset in the block, as on the wire; both directions work on
whole arrays of offsets.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ramferry.errors import HostError, UsageError

Offsets = NDArray[np.uint64]
"""Byte offsets of pages in their block."""


class RamBlock:
    """One block: ``view`` and ``pages`` share the mapping of the :class:`Ram` that owns it."""

    def __init__(self, name: str, page_size: int, memory: NDArray[np.uint8]) -> None:
        self.name = name
        self.size = len(memory)
        """Bytes."""
        self.page_size = page_size
        self.view = memoryview(memory)  # type: ignore[arg-type] # numpy's arrays are buffers
        """All bytes, writable, of format ``B``."""
        self.pages: NDArray[np.uint8] = memory.reshape(-1, page_size)
        """All pages, one a row."""

    def gather(self, offsets: Offsets, buffer: memoryview) -> memoryview:
        """The pages at ``offsets``, one after another.

        :param buffer: room for them, used where they do not lie side by side.
        :return: a part of the block itself, or of ``buffer``.
        :raise UsageError: an offset is outside the block, or in the middle of a page.
        """
        rows = self._rows(offsets)
        if self._side_by_side(rows):
            first = int(rows[0]) * self.page_size
            return self.view[first : first + len(rows) * self.page_size]
        out = buffer[: len(rows) * self.page_size]
        matrix = np.frombuffer(out, np.uint8).reshape(-1, self.page_size)
        np.take(self.pages, rows, axis=0, out=matrix, mode="clip")
        return out

    def scatter(self, offsets: Offsets, data: memoryview) -> None:
        """Put pages, which lie one after another in ``data``, at ``offsets``.

        :raise UsageError: an offset is outside the block, or ``data`` has another size.
        """
        rows = self._rows(offsets)
        if len(data) != len(rows) * self.page_size:
            raise UsageError(f"{len(rows)} pages are not {len(data)} bytes")
        if self._side_by_side(rows):
            first = int(rows[0]) * self.page_size
            self.view[first : first + len(data)] = data
        else:
            self.pages[rows] = np.frombuffer(data, np.uint8).reshape(-1, self.page_size)

    def clear(self, offsets: Offsets) -> None:
        """Fill pages with zeros.

        :raise UsageError: an offset is outside the block.
        """
        self.pages[self._rows(offsets)] = 0

    def _rows(self, offsets: Offsets) -> NDArray[np.intp]:
        rows, rest = np.divmod(offsets, np.uint64(self.page_size))
        if rest.any() or (len(rows) and int(rows.max()) >= len(self.pages)):
            raise UsageError(f"an offset is no page of block {self.name!r} of {self.size:#x} bytes")
        return rows.astype(np.intp)

    @staticmethod
    def _side_by_side(rows: NDArray[np.intp]) -> bool:
        return bool(len(rows)) and bool((np.diff(rows) == 1).all())


class Ram:
    """All blocks of a guest; a context manager that frees the mapping at its end.

    Blocks, views and arrays are of no use after ``close``.
    """

    def __init__(self, fd: int, sizes: Sequence[tuple[str, int]], page_size: int) -> None:
        """Map ``fd``, which becomes this object's; ``create`` and ``open`` call it."""
        self.page_size = page_size
        self._fd = fd
        self.total = sum(size for _, size in sizes)
        """Bytes of all blocks."""
        self._map = mmap.mmap(fd, self.total)
        memory = np.frombuffer(self._map, np.uint8)
        blocks, at = {}, 0
        for name, size in sizes:
            blocks[name] = RamBlock(name, page_size, memory[at : at + size])
            at += size
        self.blocks: Mapping[str, RamBlock] = MappingProxyType(blocks)
        """By name, in the order of the stream."""

    @classmethod
    def create(cls, sizes: Sequence[tuple[str, int]], *, page_size: int = 4096) -> Self:
        """Make blocks of zeros in a memfd.

        :param sizes: name and bytes of each block, in the order of the stream.
        :raise UsageError: a name twice, no block, or a size that is not whole pages.
        :raise HostError: there is not so much memory.
        """
        _check(sizes, page_size)
        fd = os.memfd_create("ramferry-ram", os.MFD_CLOEXEC)
        return cls._sized(fd, sizes, page_size)

    @classmethod
    def open(cls, path: Path, sizes: Sequence[tuple[str, int]], *, page_size: int = 4096) -> Self:
        """Map a file, made or resized as needed; its content is the blocks' one after another.

        :raise UsageError: as ``create``.
        :raise HostError: it cannot be opened, or has no room.
        """
        _check(sizes, page_size)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HostError(f"cannot open {path}: {error.strerror}") from error
        return cls._sized(fd, sizes, page_size)

    @classmethod
    def _sized(cls, fd: int, sizes: Sequence[tuple[str, int]], page_size: int) -> Self:
        total = sum(size for _, size in sizes)
        try:
            os.ftruncate(fd, total)
            return cls(fd, sizes, page_size)
        except (OSError, ValueError) as error:
            os.close(fd)
            raise HostError(f"cannot map {total >> 20} MiB of guest memory: {error}") from error

    @property
    def fd(self) -> int:
        """The memfd or file, for another process to map."""
        return self._fd

    def close(self) -> None:
        """Free the memory, as soon as nobody holds a view of it."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        self.blocks = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _check(sizes: Sequence[tuple[str, int]], page_size: int) -> None:
    if not sizes or len({name for name, _ in sizes}) < len(sizes):
        raise UsageError("guest memory has one block or more, each of a name of its own")
    for name, size in sizes:
        if size <= 0 or size % page_size:
            raise UsageError(f"block {name!r} of {size} bytes is not whole {page_size}-byte pages")
