"""libzstd (``zstd.h`` of 1.4 and later), one call a packet.

It is the host's own, which QEMU, systemd and the package managers use as well. The Python package
``zstandard`` has a libzstd inside but does not export its functions, and returns new bytes objects
that it copies with the GIL held; only frame headers and foreign files are read by it.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, Final

from ramferry.native.memory import CLibrary, address, bound, owned
from ramferry.vocabulary import Buffer

SONAME: Final = "libzstd.so.1"

_SIZE: Final = ctypes.c_size_t
_CONTEXT: Final = ctypes.c_void_p
_LEVEL, _WINDOW_LOG_MAX = 100, 100
"""``ZSTD_c_compressionLevel`` and ``ZSTD_d_windowLogMax``."""
_FLUSH, _END = 1, 2
_FIRST_ERROR: Final = 2**64 - 1000
"""Results from here on are error codes; zstd.h promises no more than 120 of them."""
_NO_MEMORY: Final = 2**64 - 64
"""``ZSTD_error_memory_allocation``."""


class _Buffer(ctypes.Structure):
    """``ZSTD_inBuffer`` and ``ZSTD_outBuffer``."""

    _fields_ = (("bytes", ctypes.c_void_p), ("size", _SIZE), ("pos", _SIZE))


_BUFFER: Final = ctypes.POINTER(_Buffer)
_first: Final = ctypes.c_char.from_buffer


class _Library:
    """The functions of libzstd."""

    def __init__(self) -> None:
        find = CLibrary(SONAME, "the package libzstd1 or libzstd").function
        self.version = int(find("ZSTD_versionNumber", ctypes.c_uint)())
        self.error_name = find("ZSTD_getErrorName", ctypes.c_char_p, _SIZE)
        self.create_compressor = find("ZSTD_createCCtx", _CONTEXT)
        self.free_compressor = find("ZSTD_freeCCtx", _SIZE, _CONTEXT)
        parameter = (_CONTEXT, ctypes.c_int, ctypes.c_int)
        self.set_compressor = find("ZSTD_CCtx_setParameter", _SIZE, *parameter)
        step = (_CONTEXT, _BUFFER, _BUFFER)
        self.compress = find("ZSTD_compressStream2", _SIZE, *step, ctypes.c_int)
        self.create_decompressor = find("ZSTD_createDCtx", _CONTEXT)
        self.free_decompressor = find("ZSTD_freeDCtx", _SIZE, _CONTEXT)
        self.set_decompressor = find("ZSTD_DCtx_setParameter", _SIZE, *parameter)
        self.decompress = find("ZSTD_decompressStream", _SIZE, *step)
        self.drain = find("ZSTD_decompressStream", _SIZE, *step, holds_gil=True)

    def checked(self, result: Any) -> int:
        """Return ``result``.

        :raise ValueError: it is an error; in libzstd's words.
        :raise MemoryError: libzstd got no memory, which it asks for at a stream's first call.
        """
        if result == _NO_MEMORY:
            raise MemoryError("libzstd got none")
        if result >= _FIRST_ERROR:
            raise ValueError(self.error_name(result).decode().lower())
        return int(result)


@cache
def _library() -> _Library:
    return _Library()


def version() -> str:
    """The library's version: "1.5.7".

    :raise HostError: this host has no libzstd.
    """
    number = _library().version
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


class Compressor:
    """Compresses the packets of one channel at one level; used by one thread at a time."""

    def __init__(self, level: int, most: int, *, frames: bool = False) -> None:
        """:param level: libzstd's; 0 is its default.
        :param most: most bytes that a call is given.
        :param frames: whether each call makes a frame that needs nothing before it.
        :raise HostError: this host has no libzstd.
        """
        self._library = library = _library()
        self._context = context = owned(self, library.free_compressor, library.create_compressor())
        library.checked(library.set_compressor(context, _LEVEL, level))
        self._how = _END if frames else _FLUSH
        self._out = memoryview(bytearray(bound(most)))
        self._source = _Buffer()
        self._made = _Buffer(address(self._out), len(self._out), 0)

    def set_level(self, level: int) -> None:
        """Compress at another level from the next call on; each call has to make a frame."""
        self._library.checked(self._library.set_compressor(self._context, _LEVEL, level))

    def encode(self, data: memoryview) -> list[Buffer]:
        """Compress ``data``, and end the block, or the frame.

        :return: one part in memory of this object, valid until the next call.
        :raise MemoryError: the context of a high level found none at the first call.
        """
        source, made = self._source, self._made
        # address() is repeated here: a packet's way has few calls, and goes through few files
        source.bytes = address(data) if data.readonly else ctypes.addressof(_first(data))
        source.size, source.pos, made.pos = len(data), 0, 0
        left = self._library.compress(self._context, made, source, self._how)
        if left:
            # something to flush yet would be a fault of bound()
            raise AssertionError(self._library.checked(left))
        return [self._out[: made.pos]]


class Decompressor:
    """A channel's frames, fed packet by packet; used by one thread at a time."""

    def __init__(self, window_log: int) -> None:
        """:param window_log: logarithm of the largest window in bytes that a frame may ask for.
        :raise HostError: this host has no libzstd.
        """
        self._library = library = _library()
        made = library.create_decompressor()
        self._context = context = owned(self, library.free_decompressor, made)
        library.checked(library.set_decompressor(context, _WINDOW_LOG_MAX, window_log))
        self._source, self._made = _Buffer(), _Buffer()
        self._spare = memoryview(bytearray(1))
        self._beyond = address(self._spare)

    def packet(self, data: memoryview, out: memoryview) -> tuple[int, int]:
        """Decompress ``data`` into ``out``, and see whether there is more than that.

        :return: bytes decompressed, which are one more than ``out`` has if it is too small; and
            bytes of ``data`` left over.
        :raise ValueError: damaged data; in libzstd's words.
        :raise MemoryError: there is none for the frame's window.
        """
        source, made, library = self._source, self._made, self._library
        source.bytes, source.size, source.pos = address(data), len(data), 0
        made.bytes, made.size, made.pos = address(out), len(out), 0
        while made.pos < made.size and source.pos < source.size:
            # once as a rule; it may stop at the end of a frame
            library.checked(library.decompress(self._context, made, source))
        filled = int(made.pos)
        if filled == len(out):
            made.bytes, made.size, made.pos = self._beyond, 1, 0
            library.checked(library.drain(self._context, made, source))
            filled += int(made.pos)
        return filled, int(source.size - source.pos)
