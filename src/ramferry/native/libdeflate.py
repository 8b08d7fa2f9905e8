"""libdeflate: whole members, one call each (``libdeflate.h`` of 1.19 and later)."""

from __future__ import annotations

import ctypes
from typing import Final

from deflate import _deflate

from ramferry.native.memory import CLibrary, address, owned

_SIZE: Final = ctypes.c_size_t
_HANDLE: Final = ctypes.c_void_p
_BYTES: Final = ctypes.c_void_p

_library: Final = CLibrary.of(_deflate)
_alloc_compressor: Final = _library.function("libdeflate_alloc_compressor", _HANDLE, ctypes.c_int)
_free_compressor: Final = _library.function("libdeflate_free_compressor", None, _HANDLE)
_compress: Final = _library.function(
    "libdeflate_deflate_compress", _SIZE, _HANDLE, _BYTES, _SIZE, _BYTES, _SIZE
)
_alloc_decompressor: Final = _library.function("libdeflate_alloc_decompressor", _HANDLE)
_free_decompressor: Final = _library.function("libdeflate_free_decompressor", None, _HANDLE)
_decompress_member: Final = _library.function(
    "libdeflate_gzip_decompress_ex",
    ctypes.c_int,
    _HANDLE,
    _BYTES,
    _SIZE,
    _BYTES,
    _SIZE,
    ctypes.POINTER(_SIZE),
    ctypes.POINTER(_SIZE),
)


class Deflate:
    """libdeflate's compressor at one level; used by one thread at a time."""

    def __init__(self, level: int) -> None:
        """:param level: 1 to 12, libdeflate's meaning."""
        self._compressor = owned(self, _free_compressor, _alloc_compressor(level))

    def member(self, data: memoryview, out: memoryview) -> int:
        """Compress ``data`` into ``out`` as deflate data that stands alone, without a trailer.

        :param out: at least ``bound(len(data))`` bytes.
        :return: bytes written.
        """
        size = _compress(self._compressor, address(data), len(data), address(out), len(out))
        assert size
        return int(size)


class Inflate:
    """libdeflate's decompressor; used by one thread at a time."""

    def __init__(self) -> None:
        self._decompressor = owned(self, _free_decompressor, _alloc_decompressor())
        self._taken, self._made = _SIZE(), _SIZE()

    def member(self, data: memoryview, out: memoryview) -> bool:
        """Inflate one gzip member; its CRC-32 and length are verified.

        :return: True if ``data`` is one whole member and has filled ``out`` exactly. After False
            ``out`` holds anything.
        """
        code = _decompress_member(
            self._decompressor,
            address(data),
            len(data),
            address(out),
            len(out),
            self._taken,
            self._made,
        )
        whole = self._taken.value == len(data) and self._made.value == len(out)
        return code == 0 and whole
