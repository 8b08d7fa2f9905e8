"""Addresses of Python's buffers, and the functions of C libraries."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any, Self

import numpy as np

from ramferry.errors import HostError


def address(view: memoryview) -> int:
    """The address of a contiguous view's first byte, valid as long as the caller keeps the view."""
    if not view.nbytes:
        return 0
    if view.readonly:
        return int(np.frombuffer(view, np.uint8).ctypes.data)
    # 0.3 µs; NumPy takes 1.1
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def freed_with(owner: object, free: Callable[[int], object], handle: int) -> None:
    """Call ``free(handle)`` once ``owner`` is gone, but not when the process ends.

    A daemon thread may be inside the library then, and would crash.
    """
    weakref.finalize(owner, free, handle).atexit = False


def owned(owner: object, free: Callable[[int], object], handle: int | None) -> int:
    """Return what a C library has just made for ``owner``; it is ``freed_with`` its owner.

    :raise MemoryError: there is none, because the library got no memory.
    """
    if not handle:
        raise MemoryError
    freed_with(owner, free, handle)
    return handle


def bound(size: int) -> int:
    """Most bytes that a codec's output for ``size`` bytes takes if they do not shrink.

    Deflate's stored blocks add 0.01 %, ``ZSTD_COMPRESSBOUND`` 0.4 % and at most 64 bytes; the rest
    is for headers, trailers, flushes, and what stands in front of a first stored block.
    """
    return size + size // 128 + 1024


class CLibrary:
    """The functions of a C library: a shared one, or what an extension module holds or links to."""

    def __init__(self, path: str, remedy: str) -> None:
        """Load it.

        :param path: a shared object's path, or a soname.
        :param remedy: what to install if it, or a function, is not there.
        :raise HostError: it cannot be loaded.
        """
        self._path, self._remedy = path, remedy
        try:
            self._free, self._held = ctypes.CDLL(path), ctypes.PyDLL(path)
        except OSError as error:
            raise HostError(f"cannot load {path}: {error}; install {remedy}") from error

    @classmethod
    def of(cls, module: ModuleType) -> Self:
        """The library inside an extension module, or that it links to."""
        assert module.__file__ is not None
        name = module.__name__.partition(".")[0]
        return cls(module.__file__, f"{name} from PyPI, or as the distribution's package")

    def function(self, name: str, result: Any, *arguments: Any, holds_gil: bool = False) -> Any:
        """Find a function; its calls release the GIL.

        :param result: the ctypes type of what it returns; None for nothing.
        :param arguments: the ctypes types of its arguments.
        :param holds_gil: the GIL is kept during calls: for what takes less than a microsecond,
            where to let go of it and wait for it again costs more.
        :raise HostError: there is no such function, or it is hidden.
        """
        try:
            # an item, unlike an attribute, is a new object each time: its types are our own
            found = (self._held if holds_gil else self._free)[name]
        except AttributeError:
            raise HostError(f"{self._path} shows no {name}: install {self._remedy}") from None
        found.restype = result
        found.argtypes = arguments
        return found
