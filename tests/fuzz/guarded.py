"""Memory whose end, and whose reader's end, the hardware watches.

C libraries are given addresses of buffers. A buffer made here ends where a page without any access
begins, so that reading or writing one byte behind it ends the process by SIGSEGV, and has known
bytes in front of it, which are compared afterwards.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

_PAGE: Final = mmap.PAGESIZE
_IN_FRONT: Final = 4 * 64
_KNOWN: Final = bytes(range(0x80, 0xC0)) * 4
_UNTOUCHED: Final = 0xA5
_mprotect: Final = ctypes.CDLL(None, use_errno=True).mprotect
_mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Guarded:
    """Room for buffers of up to ``most`` bytes, one at a time."""

    def __init__(self, most: int) -> None:
        size = -(-(most + _IN_FRONT) // _PAGE) * _PAGE
        self._map = mmap.mmap(-1, size + _PAGE)
        first = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        if _mprotect(first + size, _PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
        self._room = memoryview(self._map)[:size]

    def buffer(self, size: int) -> memoryview:
        """The last ``size`` bytes in front of the guard, filled with a known byte."""
        start = len(self._room) - size
        self._room[start - _IN_FRONT : start] = _KNOWN
        self._room[start:] = bytes((_UNTOUCHED,)) * size
        return self._room[start:]

    def holding(self, data: bytes) -> memoryview:
        """``data`` in front of the guard."""
        held = self.buffer(len(data))
        held[:] = data
        return held

    def check(self, size: int) -> None:
        """See that nothing was written in front of the buffer of ``size`` bytes."""
        start = len(self._room) - size
        assert self._room[start - _IN_FRONT : start] == _KNOWN, "bytes written in front of a buffer"
