"""A guest's RAM blocks over one memfd: mapped once, seen as bytes and as pages.

Pages are addressed by their byte offset in the block, as on the wire; both directions work on
whole arrays of offsets.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ramferry.errors import HostError, UsageError
from ramferry.vocabulary import PAGE_SIZE

Offsets = NDArray[np.uint64]
"""Byte offsets of pages in their block."""

_SMALLEST_PAGE: Final = 512
_FOR_WRITING: Final = 23
"""MADV_POPULATE_WRITE of linux/mman.h."""
_POPULATED: Final = 32 << 20
"""Bytes that are populated at once: 30 to 50 ms of a busy host, if the kernel has to find them."""
_libc = ctypes.CDLL(None, use_errno=True)  # unlike mmap.madvise, lets other threads run


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
        self._first: Offsets = np.empty(0, np.uint64)

    def gather(self, offsets: Offsets, buffer: memoryview, *, copy: bool = False) -> memoryview:
        """The pages at ``offsets``, one after another.

        Without ``copy`` the result may be the block's own memory, which changes while the guest
        runs. Methods that read their input twice, and trackers that remember what was sent, need
        ``copy``.

        :param buffer: the caller's memory, used if the pages do not lie side by side, or with
            ``copy``.
        :return: a part of the block itself, or of ``buffer``.
        :raise UsageError: an offset is outside the block or in the middle of a page, or ``buffer``
            is too small.
        """
        side_by_side = self._side_by_side(offsets)
        if side_by_side is not None and not copy:
            return self._bytes(side_by_side)
        out = buffer[: len(offsets) * self.page_size]
        if out.nbytes < len(offsets) * self.page_size:
            raise UsageError(f"{len(offsets)} pages do not fit into {out.nbytes} bytes")
        matrix = np.frombuffer(out, np.uint8).reshape(-1, self.page_size)
        if side_by_side is not None:
            np.copyto(matrix, self.pages[side_by_side])
        else:
            # "clip", of rows checked above: "raise" would go through a buffer of numpy's own
            np.take(self.pages, self.rows(offsets), axis=0, out=matrix, mode="clip")
        return out

    def scatter(self, offsets: Offsets, data: memoryview) -> None:
        """Put pages, which lie one after another in ``data``, at ``offsets``.

        :raise UsageError: an offset is outside the block or in the middle of a page, or ``data``
            has another size.
        """
        if data.nbytes != len(offsets) * self.page_size:
            raise UsageError(f"{len(offsets)} pages are not {data.nbytes} bytes")
        matrix = np.frombuffer(data, np.uint8).reshape(-1, self.page_size)
        side_by_side = self._side_by_side(offsets)
        if side_by_side is not None:
            # not a slice of ``view``: memoryviews copy without letting other threads run
            np.copyto(self.pages[side_by_side], matrix)
        else:
            self.pages[self.rows(offsets)] = matrix

    def window(self, offsets: Offsets) -> memoryview | None:
        """The block's own bytes for pages that lie side by side, to receive them in place.

        :return: None if they do not lie side by side, or if there are none.
        :raise UsageError: an offset is outside the block or in the middle of a page.
        """
        side_by_side = self._side_by_side(offsets)
        if side_by_side is None:
            self.rows(offsets)  # for its checks
            return None
        return self._bytes(side_by_side)

    def clear(self, offsets: Offsets) -> None:
        """Fill pages with zeros.

        :raise UsageError: an offset is outside the block or in the middle of a page.
        """
        side_by_side = self._side_by_side(offsets)
        self.pages[self.rows(offsets) if side_by_side is None else side_by_side] = 0

    def rows(self, offsets: Offsets) -> NDArray[np.intp]:
        """The rows of ``pages`` at these offsets.

        :raise UsageError: an offset is outside the block or in the middle of a page.
        """
        _check_kind(offsets)
        rows, rest = np.divmod(offsets, np.uint64(self.page_size))
        if rest.any() or (len(rows) and int(rows.max()) >= len(self.pages)):
            raise self._no_page()
        return rows.astype(np.intp)

    def _side_by_side(self, offsets: Offsets) -> slice | None:
        """The rows of pages that lie side by side in ascending order; None if they do not.

        :raise UsageError: the first offset is outside the block or in the middle of a page.
        """
        _check_kind(offsets)
        count = len(offsets)
        if not count:
            return None
        row, rest = divmod(int(offsets[0]), self.page_size)
        if rest or row >= len(self.pages):
            raise self._no_page()
        if row + count > len(self.pages):  # nor could the sums below be trusted
            return None
        # 3 us for a packet's pages, where differences of divided offsets took 13
        if not (offsets == self._ramp(count) + offsets[0]).all():
            return None
        return slice(row, row + count)

    def _ramp(self, count: int) -> Offsets:
        """The offsets of the block's first pages."""
        first = self._first
        if count > len(first):  # threads may both make it: neither's is wrong
            self._first = first = np.arange(count, dtype=np.uint64) * np.uint64(self.page_size)
        return first[:count]

    def _bytes(self, rows: slice) -> memoryview:
        return self.view[rows.start * self.page_size : rows.stop * self.page_size]

    def _no_page(self) -> UsageError:
        return UsageError(f"an offset is no page of block {self.name!r} of {self.size:#x} bytes")


def _check_kind(offsets: Offsets) -> None:
    if offsets.dtype.kind != "u":  # others could be negative, or have a fraction
        raise UsageError(f"offsets are unsigned integers, not {offsets.dtype}")


class Ram:
    """All blocks of a guest; a context manager that frees the mapping at its end.

    Blocks, views and arrays are of no use after ``close``.
    """

    def __init__(self, fd: int, sizes: Sequence[tuple[str, int]], page_size: int) -> None:
        """Map ``fd``, which belongs to this object from now on; ``create`` calls it."""
        self.page_size = page_size
        self._fd = fd
        self.total = sum(size for _, size in sizes)
        """Bytes of all blocks."""
        self.memory: NDArray[np.uint8] = np.frombuffer(mmap.mmap(fd, self.total), np.uint8)
        """All blocks' bytes, one block after another."""
        blocks, at = {}, 0
        for name, size in sizes:
            blocks[name] = RamBlock(name, page_size, self.memory[at : at + size])
            at += size
        self.blocks: Mapping[str, RamBlock] = MappingProxyType(blocks)
        """By name, in the order of the stream."""

    @classmethod
    def create(cls, sizes: Sequence[tuple[str, int]], *, page_size: int = PAGE_SIZE) -> Self:
        """Make blocks of zeros in a memfd.

        :param sizes: name and bytes of each block, in the order of the stream.
        :raise UsageError: a name twice, no block, or a size that is not whole pages.
        :raise HostError: there is not so much memory.
        """
        _check(sizes, page_size)
        total = sum(size for _, size in sizes)
        fd = os.memfd_create("ramferry-ram", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, total)
            return cls(fd, sizes, page_size)
        except (OSError, ValueError) as error:
            os.close(fd)
            raise HostError(f"cannot map {total >> 20} MiB of guest memory: {error}") from error

    def populate(self, given_up: threading.Event) -> None:
        """Allocate and map every page for writing, so that nobody has to wait for page faults
        later.

        Other threads run meanwhile. Before Linux 5.14 it does nothing.

        :param given_up: set it, from another thread, to end early.
        :raise HostError: there is not so much memory.
        """
        memory = self.memory  # mapped for as long as this runs, also if ``close`` is called
        address = memory.ctypes.data
        for start in range(0, self.total, _POPULATED):
            size = min(_POPULATED, self.total - start)
            if given_up.is_set():
                return
            if _libc.madvise(ctypes.c_void_p(address + start), ctypes.c_size_t(size), _FOR_WRITING):
                if (reason := ctypes.get_errno()) == errno.EINVAL:
                    return
                raise HostError(
                    f"cannot have {self.total >> 20} MiB of guest memory: {os.strerror(reason)}"
                )

    def by_block(self, rows: NDArray[np.intp]) -> dict[str, Offsets]:
        """Each block's offsets of pages, which are counted through all of ``memory``.

        :param rows: ascending.
        """
        found, first = {}, 0
        for name, block in self.blocks.items():
            low, high = np.searchsorted(rows, (first, first + len(block.pages)))
            found[name] = (rows[low:high] - first).astype(np.uint64) * np.uint64(self.page_size)
            first += len(block.pages)
        return found

    @property
    def fd(self) -> int:
        """The memfd, for another process to map."""
        return self._fd

    def close(self) -> None:
        """Free the memory once nobody holds a view of it any more."""
        if self._fd < 0:
            return
        os.close(self._fd)
        self._fd = -1
        self.blocks = MappingProxyType({})
        self.memory = np.empty(0, np.uint8)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _check(sizes: Sequence[tuple[str, int]], page_size: int) -> None:
    if page_size < _SMALLEST_PAGE or page_size & (page_size - 1):
        raise UsageError(f"a page of {page_size} bytes is no power of two of 512 or more")
    if not sizes or len({name for name, _ in sizes}) < len(sizes):
        raise UsageError("guest memory has one block or more, each of a name of its own")
    for name, size in sizes:
        if size <= 0 or size % page_size:
            raise UsageError(f"block {name!r} of {size} bytes is not whole {page_size}-byte pages")
