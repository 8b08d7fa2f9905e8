"""The kernel's account of written pages: userfaultfd write protection in async mode, PAGEMAP_SCAN.

Since Linux 6.7. A range is write-protected; the first write to a page lifts its protection inside
the page fault, without anybody being asked, and PAGEMAP_SCAN lists the pages without protection
and protects them again in one step. Layouts: ``linux/userfaultfd.h`` and ``linux/fs.h``.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ramferry.allowance import busy_threads
from ramferry.errors import HostError

SYSCALLS: Final = {"x86_64": 323, "aarch64": 282, "riscv64": 282, "loongarch64": 282, "s390x": 355}
"""Number of userfaultfd(2), by machine; all of them encode ioctl numbers alike."""
DEVICE: Final = "/dev/userfaultfd"

_USER_MODE_ONLY: Final = 1
"""UFFD_USER_MODE_ONLY, which needs no privilege: in async mode the kernel's own faults need no
handler."""
_NEW: Final = 0xAA00
_API: Final = 0xC018AA3F
_REGISTER: Final = 0xC020AA00
_UNREGISTER: Final = 0x8010AA01
_WRITEPROTECT: Final = 0xC018AA06
_PAGEMAP_SCAN: Final = 0xC0606610

_API_VERSION: Final = 0xAA
FEATURES: Final = 1 << 0 | 1 << 12 | 1 << 13 | 1 << 15
"""PAGEFAULT_FLAG_WP, WP_HUGETLBFS_SHMEM, WP_UNPOPULATED, WP_ASYNC."""
_MODE_WP: Final = 2
_PROTECT: Final = 1
_WP_MATCHING: Final = 1
_CHECK_WPASYNC: Final = 2
_IS_WRITTEN: Final = 2

_CORES: Final = busy_threads()
_PIECE: Final = 128 << 20
"""Bytes that a thread protects at once."""
REGIONS: Final = 1 << 15
"""Regions a scan may find before it is called again: 768 KiB."""


_PM_SCAN_ARG: Final = (
    *("size", "flags", "start", "end", "walk_end", "vec", "vec_len", "max_pages"),
    *("category_inverted", "category_mask", "category_anyof_mask", "return_mask"),
)


class _PmScanArg(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in _PM_SCAN_ARG)


_Words = ctypes.Array[ctypes.c_uint64]
_libc = ctypes.CDLL(None, use_errno=True)  # lets other threads run during a call


class WriteProtected:
    """A range of this process's memory whose written pages the kernel knows.

    Only writes through this very mapping count: by code of this process, and by system calls that
    copy into it, but not through another mapping, nor by pwrite to the file.
    """

    def __init__(self, address: int, length: int) -> None:
        """Register the range, and write-protect all of it.

        :param address: of a shared mapping, of a memfd or a file; aligned to this host's pages.
            ``length`` is rounded up to them.
        :raise HostError: the kernel does not do it; the text says why not.
        """
        self._start = address
        self._end = address + -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
        self._regions = np.empty((REGIONS, 3), np.uint64)
        self._uffd, self.way = _open()
        """How the kernel was asked: "userfaultfd(2)" or "/dev/userfaultfd"."""
        self._pagemap = -1
        try:
            self._arm()
        except BaseException:
            self.close()
            raise

    def written(self) -> Iterator[NDArray[np.uint64]]:
        """Find the pages that were written since they were protected, and protect them again.

        :return: matrices, valid until the next one, of first address and address behind the last,
            one region a row, ascending. To be read to its end.
        :raise HostError: the kernel refuses; what was written is not known from here on.
        """
        arg = _PmScanArg(
            size=ctypes.sizeof(_PmScanArg),
            flags=_WP_MATCHING | _CHECK_WPASYNC,
            start=self._start,
            end=self._end,
            vec=self._regions.ctypes.data,
            vec_len=len(self._regions),
            category_mask=_IS_WRITTEN,
            return_mask=_IS_WRITTEN,
        )
        while arg.start < self._end:
            found = _ioctl(self._pagemap, _PAGEMAP_SCAN, arg, "the kernel lists no written pages")
            if found:
                yield self._regions[:found, :2]
            if arg.walk_end <= arg.start:
                raise HostError(f"the kernel lists no written pages behind {arg.start:#x}")
            arg.start = arg.walk_end

    def close(self) -> None:
        """Unregister the range; writes are no longer slowed."""
        if self._uffd >= 0:
            span = (ctypes.c_uint64 * 2)(self._start, self._end - self._start)
            _libc.ioctl(self._uffd, ctypes.c_ulong(_UNREGISTER), span)
            os.close(self._uffd)  # undoes all that is registered, if that call did not
        if self._pagemap >= 0:
            os.close(self._pagemap)
        self._uffd = self._pagemap = -1

    def _arm(self) -> None:
        api = (ctypes.c_uint64 * 3)(_API_VERSION, FEATURES, 0)
        _ioctl(self._uffd, _API, api, "the kernel has no asynchronous write protection (Linux 6.7)")
        register = (ctypes.c_uint64 * 4)(self._start, self._end - self._start, _MODE_WP, 0)
        _ioctl(
            self._uffd,
            _REGISTER,
            register,
            "the kernel does not protect this mapping",
        )
        try:
            self._pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise HostError(f"/proc/self/pagemap cannot be read: {error.strerror}") from error
        # 46 ms a GiB in one thread, 25 in two on 2 cores: a migration's first page waits for it
        with ThreadPoolExecutor(_CORES) as pool:
            for _ in pool.map(self._protect, range(self._start, self._end, _PIECE)):
                pass
        for _ in self.written():  # nothing yet, or little: shows that the kernel can tell
            pass

    def _protect(self, start: int) -> None:
        """Protect one piece of the range."""
        # not by a scan: that would leave huge pages whole, and a write would count for all of one
        length = min(_PIECE, self._end - start)
        protect = (ctypes.c_uint64 * 3)(start, length, _PROTECT)
        _ioctl(self._uffd, _WRITEPROTECT, protect, "the kernel does not protect this mapping")


def _open() -> tuple[int, str]:
    """Open a userfaultfd; returns it and how it was opened: by the system call or the device."""
    number = SYSCALLS.get(platform.machine())
    if number is None:
        raise HostError(f"userfaultfd is not known on {platform.machine()}")
    flags = os.O_CLOEXEC | os.O_NONBLOCK
    fd = int(_libc.syscall(number, flags | _USER_MODE_ONLY))
    if fd >= 0:
        return fd, "userfaultfd(2)"
    refused = os.strerror(ctypes.get_errno())
    try:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(
            f"userfaultfd(2) is refused ({refused}), and {DEVICE} too ({error.strerror})"
        ) from error
    try:
        fd = _ioctl(device, _NEW, flags, f"userfaultfd(2) is refused ({refused}), and {DEVICE} too")
    finally:
        os.close(device)
    return fd, DEVICE


def _ioctl(fd: int, request: int, argument: ctypes.Structure | _Words | int, failure: str) -> int:
    """:raise HostError: ``failure`` and the kernel's reason."""
    passed = ctypes.c_ulong(argument) if isinstance(argument, int) else ctypes.byref(argument)
    result = int(_libc.ioctl(fd, ctypes.c_ulong(request), passed))
    if result < 0:
        raise HostError(f"{failure}: {os.strerror(ctypes.get_errno())}")
    return result
