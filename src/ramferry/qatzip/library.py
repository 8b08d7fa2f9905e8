"""libqatzip by ctypes: its structures, its return codes, and when it is loaded at all.

Layouts, codes and behaviour are those of libqatzip 1.0.9 to 2.0.0 on x86-64 (``qatzip.h``; the
layout is the same in all of them). The library is loaded only where libqat or a device node says
that there is a device: without one, every call of QATzip 1.3 and later leaks a thread key.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import Final

from ramferry.errors import MethodUnavailable
from ramferry.native.memory import freed_with
from ramferry.vocabulary import QAT_SONAME, QATZIP_SONAME

VFIO: Final = "/dev/vfio"
"""Where libqat looks for devices. If the folder is missing, libqat complains on standard error."""

OUT_OF_TREE_NODES: Final = ("/dev/qat_adf_ctl", "/dev/qat_dev_processes")
"""Nodes of Intel's own driver, whose library is not libqat.so.4."""

OK, DUPLICATE = 0, 1
NO_INSTANCE: Final = frozenset({13, -103})
"""Codes that say that all instances are in use; the next call may find a free one."""
GONE: Final = frozenset({11, 12, -101, -102, -105})
"""Codes that say that there is no device, or no longer one."""

CODES: Final = {
    2: "software was forced",
    11: "no device",
    12: "no memory driver",
    13: "no instance",
    14: "too little DMA memory",
    15: "too little DMA memory for the output",
    16: "a format the device does not have",
    -1: "a parameter is refused",
    -2: "failed",
    -3: "the output does not fit",
    -4: "damaged data",
    -5: "the device did not answer in time",
    -100: "integrity check failed",
    -101: "no device, or none that this process may use",
    -102: "no memory driver",
    -103: "no instance: the services have no compression, or others use all",
    -104: "too little DMA memory",
    -105: "no software path",
    -116: "a format the device does not have",
    -117: "post-processing failed",
    -200: "not supported",
}
"""QATzip's return codes, and hw_session_stat's, in words; the documentation's table of symptoms
says what to do about each."""

DEFLATE: Final = 8
"""comp_algorithm."""
DATA_FORMATS: Final = {"4B": 0, "gzip": 1, "gzip-ext": 2, "raw": 3}
"""Format → data_fmt."""

_PINNED: Final = 1


class QzSession(ctypes.Structure):
    """QzSession_T, 40 bytes; must be zeroed before its first use."""

    _fields_ = (
        ("hw_session_stat", ctypes.c_int64),
        ("thd_sess_stat", ctypes.c_int32),
        ("internal", ctypes.c_void_p),
        ("total_in", ctypes.c_uint64),
        ("total_out", ctypes.c_uint64),
    )


class QzSessionParamsDeflate(ctypes.Structure):
    """QzSessionParamsDeflate_T, 56 bytes: the parameters all algorithms share, then deflate's."""

    _fields_ = (
        ("direction", ctypes.c_uint32),
        ("comp_lvl", ctypes.c_uint32),
        ("comp_algorithm", ctypes.c_uint8),
        ("max_forks", ctypes.c_uint32),
        ("sw_backup", ctypes.c_uint8),
        ("hw_buff_sz", ctypes.c_uint32),
        ("strm_buff_sz", ctypes.c_uint32),
        ("input_sz_thrshold", ctypes.c_uint32),
        ("req_cnt_thrshold", ctypes.c_uint32),
        ("wait_cnt_thrshold", ctypes.c_uint32),
        ("polling_mode", ctypes.c_uint32),
        ("is_sensitive_mode", ctypes.c_uint32),
        ("huffman_hdr", ctypes.c_uint32),
        ("data_fmt", ctypes.c_uint32),
    )


_SESSION = ctypes.POINTER(QzSession)
_PARAMS = ctypes.POINTER(QzSessionParamsDeflate)
_SIZE = ctypes.POINTER(ctypes.c_uint32)
_CALL = (_SESSION, ctypes.c_void_p, _SIZE, ctypes.c_void_p, _SIZE)


class Library:
    """The functions of one libqatzip, with their types; every call releases the GIL."""

    def __init__(self, path: str = QATZIP_SONAME) -> None:
        """Load it, with its common symbol names kept to itself, and silence its log.

        :raise MethodUnavailable: it is not there, or is too old.
        """
        try:
            loaded = ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            raise MethodUnavailable(f"QATzip's library cannot be loaded ({error})") from None
        if not hasattr(loaded, "qzSetupSessionDeflate"):
            raise MethodUnavailable(f"{path} is of QATzip 1.0.8 or older: install 1.1.2 or later")
        self.version = _version(loaded)
        self.init = _function(loaded.qzInit, _SESSION, ctypes.c_uint8)
        self.set_up = _function(loaded.qzSetupSessionDeflate, _SESSION, _PARAMS)
        self.defaults = _function(loaded.qzGetDefaultsDeflate, _PARAMS)
        self.compress = _function(loaded.qzCompress, *_CALL, ctypes.c_uint32)
        self.decompress = _function(loaded.qzDecompress, *_CALL)
        self.tear_down = _function(loaded.qzTeardownSession, _SESSION)
        self.bound = _function(loaded.qzMaxCompressedLength, ctypes.c_uint32, _SESSION)
        self.bound.restype = ctypes.c_uint32
        self._malloc = _function(loaded.qzMalloc, ctypes.c_size_t, ctypes.c_int, ctypes.c_int)
        self._malloc.restype = ctypes.c_void_p
        self._free = _function(loaded.qzFree, ctypes.c_void_p)
        self._free.restype = None
        if hasattr(loaded, "qzSetLogLevel"):
            _function(loaded.qzSetLogLevel, ctypes.c_uint32)(0)

    def buffer(self, size: int) -> memoryview:
        """Memory that the device reads and writes itself; plain memory if the library has none to
        give.

        It is freed when the last view of it is gone, and does not exist in a forked child.
        """
        address = self._malloc(size, 0, _PINNED)
        if not address:
            return memoryview(bytearray(size))
        memory = (ctypes.c_ubyte * size).from_address(address)
        # at exit the library's own clean-up frees it, also under a thread that still uses it
        freed_with(memory, self._free, address)
        return memoryview(memory).cast("B")


def _function(function: ctypes._NamedFuncPointer, *types: type) -> ctypes._NamedFuncPointer:
    function.argtypes = types
    return function


def _version(loaded: ctypes.CDLL) -> str:
    """Tell the version by the exported symbols: the library has no call for it."""
    if hasattr(loaded, "qzSetupSessionZstd"):
        return "2.0 or later"
    return "1.3" if hasattr(loaded, "qzSetLogLevel") else "1.0.9 to 1.2"


def words(code: int) -> str:
    """A return code for a person: "-103 (no instance …)"."""
    return f"{code} ({CODES.get(code, 'not a code that is known')})"


def device_present(path: str = QAT_SONAME) -> bool:
    """Whether libqat, or a node of Intel's own driver, says that there is a device."""
    if any(map(os.path.exists, OUT_OF_TREE_NODES)):
        return True
    if not os.path.isdir(VFIO):
        return False
    try:
        ask = ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_LOCAL).icp_sal_userIsQatAvailable
    except (OSError, AttributeError):
        return False
    ask.argtypes, ask.restype = (), ctypes.c_uint32
    return bool(ask())


NO_DEVICE: Final = "there is no QAT device that this process can see"

_lock = threading.Lock()
_loaded: list[Library | str] = []
"""The process's library, or why there is none; empty before anyone asked."""


def load() -> Library:
    """The process's library, loaded once, and only where there is a device.

    :raise MethodUnavailable: there is no device, or no library that can be used.
    """
    with _lock:
        if not _loaded:
            _loaded.append(_load())
        if isinstance(_loaded[0], str):
            raise MethodUnavailable(_loaded[0])
        return _loaded[0]


def _load() -> Library | str:
    if not device_present():
        return NO_DEVICE
    try:
        return Library()
    except MethodUnavailable as error:
        return str(error)
