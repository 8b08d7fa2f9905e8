"""Addresses of Python's buffers, and the functions of an extension module's C library."""

from __future__ import annotations

import ctypes
from types import ModuleType
from typing import Any

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


class CLibrary:
    """The C functions that an extension module holds or links to."""

    def __init__(self, module: ModuleType) -> None:
        """:param module: an extension module that was imported."""
        assert module.__file__ is not None
        self._name = module.__name__
        self._free = ctypes.CDLL(module.__file__)
        self._held = ctypes.PyDLL(module.__file__)

    def function(self, name: str, result: Any, *arguments: Any, holds_gil: bool = False) -> Any:
        """Find a function; its calls release the GIL.

        :param result: the ctypes type of what it returns; None for nothing.
        :param arguments: the ctypes types of its arguments.
        :param holds_gil: the GIL is kept during calls: for what takes less than a microsecond,
            where to let go of it and wait for it again costs more.
        :raise HostError: the module hides it, as no wheel of PyPI and no Debian package does.
        """
        try:
            # an item, unlike an attribute, is a new object each time: its types are our own
            found = (self._held if holds_gil else self._free)[name]
        except AttributeError:
            raise HostError(
                f"the Python module {self._name} of this host hides {name} of its C library: "
                "install it from PyPI, or as the distribution's package"
            ) from None
        found.restype = result
        found.argtypes = arguments
        return found
