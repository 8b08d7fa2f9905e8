"""Has the kernel write a file to its disk while it grows, so that little is left for the end.

By itself the kernel begins only after seconds. The fsync at its end would then write nearly all of
a save file, while no core compresses and the guest stands still: that took 0.08 to 0.13 s for 281
MB on a virtual disk, and takes 0.004 to 0.027 s this way (2 busy cores, Linux 6.18, ext4).
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Final

from ramferry.transport.safefile import SafeFile

STEP: Final = 16 << 20
"""Bytes of the file that are handed to the disk at a time."""


class Writeback:
    """Follows the size of one file; used by all threads that write it."""

    def __init__(self, file: SafeFile) -> None:
        """:param file: stays the caller's."""
        self._file = file
        self._lock = threading.Lock()
        self._begun = 0

    def grown(self, size: int) -> None:
        """Hand over what was added, if it is ``STEP`` bytes or more; does not wait for the disk.

        What other threads have not written yet by then is left to the fsync.

        :param size: the file's size in bytes.
        :raise HostError: the file was given up.
        """
        with self._lock:
            start = self._begun
            if size < start + STEP:
                return
            self._begun = size
        # Linux begins to write such pages and frees only those that were written before. It is
        # advice: without it all is left to the fsync, which tells of what cannot be written
        with self._file.using() as fd, contextlib.suppress(OSError):
            os.posix_fadvise(fd, start, size - start, os.POSIX_FADV_DONTNEED)
