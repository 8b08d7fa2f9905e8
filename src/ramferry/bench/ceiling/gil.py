"""How long a process holds its GIL, seen from outside it.

CPython does not count that time. But whether the GIL is held is one word of its memory, ``locked``,
which ``find`` tells apart from all others by how it behaves, and which another process can read at
random moments without the measured one noticing (process_vm_readv(2)). The share of moments in
which it is held is the share of time.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

_WORD: Final = 4
_ROUNDS: Final = 8


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def find() -> int:
    """The address of this process's ``locked``; 0 if there is none, as without a GIL.

    The interpreter's state (``_PyRuntime``) is copied by a call that keeps the GIL and by one that
    releases it, in turn: ``locked`` is the one word that is always 1 in one and 0 in the other
    copy. That holds only if no other thread runs meanwhile. It takes a millisecond.
    """
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        return 0  # another word, of the main thread's state, behaves alike there
    start = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    words = np.empty((_end(start) - start) // _WORD, np.uint32)
    fitting = np.ones(len(words), np.bool_)
    for _ in range(_ROUNDS):
        for library, value in ((ctypes.PyDLL(None), 1), (ctypes.CDLL(None), 0)):
            copy = library.memcpy
            copy.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
            copy.restype = None
            copy(words.ctypes.data, start, words.nbytes)
            fitting &= words == value
    found = np.flatnonzero(fitting)
    return start + _WORD * int(found[0]) if len(found) == 1 else 0


def _end(address: int) -> int:
    """Where the mapping of memory that an address is in ends."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(part, 16) for part in line.split()[0].split("-"))
        if first <= address < last:
            return last
    return address


def looker(pid: int, address: int) -> Callable[[], bool | None]:
    """A function that says whether the GIL is held at this moment; None if that cannot be read.

    It cannot where the process has ended, or where this one may not trace it.

    :param pid: the process.
    :param address: what ``find`` returned there.
    """
    value = ctypes.c_uint32()
    here = _Iovec(ctypes.addressof(value), _WORD)
    there = _Iovec(address, _WORD)
    read = ctypes.CDLL(None).process_vm_readv
    read.argtypes = (
        ctypes.c_int,
        ctypes.POINTER(_Iovec),
        ctypes.c_ulong,
        ctypes.POINTER(_Iovec),
        ctypes.c_ulong,
        ctypes.c_ulong,
    )

    def look() -> bool | None:
        if read(pid, here, 1, there, 1, 0) != _WORD:
            return None
        return bool(value.value)

    return look
