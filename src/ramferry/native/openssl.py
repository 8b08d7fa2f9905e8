"""OpenSSL 3, on connections that Python's ``ssl`` made: what Python has no call for.

The functions are found in the library that Python's own extension links to. The handle of a
connection is found in Python's object (``PySSLSocket`` in Modules/_ssl.c of 3.11 to 3.14), and is
used only if what lies beside it, and the handle itself, belong to this connection.
"""

from __future__ import annotations

import ctypes
import errno
import weakref
from functools import cache
from typing import Any, Final

from ramferry.errors import kernel_error
from ramferry.native.memory import CLibrary, address

_WORD: Final = ctypes.sizeof(ctypes.c_void_p)
_HANDLE_AT: Final = object.__basicsize__ + _WORD
"""Behind the object's head and a weak reference to its socket. The context comes next."""
_POINTER, _INT = ctypes.c_void_p, ctypes.c_int
_SET_SSL: Final = 109
"""``BIO_C_SET_SSL``, with 1 for ``BIO_CLOSE``: it frees its own reference to the connection."""
_WANT_WRITE: Final = 3
"""``SSL_ERROR_WANT_WRITE``"""
_PENDING: Final = 10
"""``BIO_CTRL_PENDING``"""
_FLUSH: Final = 11
"""``BIO_CTRL_FLUSH``"""
_SET_SIZE: Final = 117
"""``BIO_C_SET_BUFF_SIZE``, with 1 for what goes out."""
_RETRY: Final = 8
"""``BIO_FLAGS_SHOULD_RETRY``"""
OUTGOING: Final = 128 << 10
"""Bytes of records that go to the kernel at once. OpenSSL alone gives it each record as it is
made, and the peer is woken for each: 215 µs of CPU for 512 KiB over the loopback, with 128 or 256
KiB 180 µs, with 64 or 512 KiB 210 to 240 µs (2 cores of an AMD EPYC, AES-256-GCM)."""


class _Library:
    def __init__(self) -> None:
        import _ssl

        if not hasattr(_ssl, "__file__"):
            raise LookupError("this Python has ssl inside")
        find = CLibrary.of(_ssl).function
        self.get_descriptor = find("SSL_get_fd", _INT, _POINTER, holds_gil=True)
        self.shutdown = find("SSL_shutdown", _INT, _POINTER)
        self.get_error = find("SSL_get_error", _INT, _POINTER, _INT, holds_gil=True)
        self.clear_error = find("ERR_clear_error", None, holds_gil=True)
        self.new = find("BIO_new", _POINTER, _POINTER, holds_gil=True)
        self.push = find("BIO_push", _POINTER, _POINTER, _POINTER, holds_gil=True)
        self.control = find("BIO_ctrl", ctypes.c_long, _POINTER, _INT, ctypes.c_long, _POINTER)
        self.free_all = find("BIO_free_all", None, _POINTER, holds_gil=True)
        self.refer = find("SSL_up_ref", _INT, _POINTER, holds_gil=True)
        self.set_quiet = find("SSL_set_quiet_shutdown", None, _POINTER, _INT, holds_gil=True)
        self.read = find("BIO_read", _INT, _POINTER, _POINTER, _INT)
        self.buffer = find("BIO_f_buffer", _POINTER, holds_gil=True)()
        self.set_size = find("BIO_int_ctrl", ctypes.c_long, _POINTER, _INT, ctypes.c_long, _INT)
        self.get_outgoing = find("SSL_get_wbio", _POINTER, _POINTER, holds_gil=True)
        self.set_outgoing = find("SSL_set0_wbio", None, _POINTER, _POINTER, holds_gil=True)
        self.refer_below = find("BIO_up_ref", _INT, _POINTER, holds_gil=True)
        self.flags = find("BIO_test_flags", _INT, _POINTER, _INT, holds_gil=True)
        self.by_tls = find("BIO_f_ssl", _POINTER, holds_gil=True)()


@cache
def _library() -> _Library:
    return _Library()


class Stream:
    """One connection; used by one thread at a time."""

    def __init__(self, sock: Any) -> None:
        """
        :param sock: an ``ssl.SSLSocket`` whose handshake is done; it has to be closed after this
            object's last use.

        :raise LookupError: this Python keeps the handle, or has OpenSSL, elsewhere.
        :raise HostError: OpenSSL's functions are not to be found.
        """
        self._calls = calls = _library()
        self._handle = _handle_of(sock, calls)
        # BIO_f_buffer asks again for as long as there is room and something comes, as no other
        # function does: see buffer_read in crypto/bio/bf_buff.c
        self._chain = chain = _made(calls.new(calls.buffer))
        below = _made(calls.new(calls.by_tls))
        calls.push(chain, below)
        calls.refer(self._handle)
        calls.control(below, _SET_SSL, 1, self._handle)
        self._free = weakref.finalize(self, _free, calls, self._handle, chain)
        self._free.atexit = False  # a daemon thread may be inside OpenSSL when the process ends
        self._out = self._gathered()
        self._ended = False
        """True once close_notify was made."""

    def _gathered(self) -> int:
        """Have a buffer gather what goes out; it is the connection's from now on."""
        calls = self._calls
        out = _made(calls.new(calls.buffer))
        if calls.set_size(out, _SET_SIZE, OUTGOING, 1) <= 0:
            raise MemoryError
        below = calls.get_outgoing(self._handle)
        calls.refer_below(below)
        calls.push(out, below)
        calls.set_outgoing(self._handle, out)
        return out

    def close(self) -> None:
        """Free it; nothing may be called after that."""
        self._free()

    def read(self, view: memoryview) -> int:
        """Receive all that has come, at most a full ``view``, in one call.

        :return: bytes, 0 or less if nothing came; why is known to whoever asks Python's object.
        """
        return int(self._calls.read(self._chain, address(view), len(view)))

    def pending(self) -> int:
        """Bytes that were taken from the connection and not received, or are decrypted there."""
        return int(self._calls.control(self._chain, _PENDING, 0, None))

    def flush(self) -> bool:
        """Give the kernel what was encrypted; False if it does not take all of it at once.

        :raise BrokenPipeError: the connection broke.
        """
        calls = self._calls
        if calls.control(self._out, _FLUSH, 0, None) > 0:
            return True
        waits = calls.flags(self._out, _RETRY)
        calls.clear_error()
        if not waits:
            raise kernel_error(errno.EPIPE)
        return False

    def end(self) -> bool:
        """Send close_notify, and do not look for the peer's; False if it does not go out at once.

        Python's ``unwrap`` looks for it, and loses bytes that come before it.

        :raise BrokenPipeError: the connection broke.
        """
        calls = self._calls
        if not self._ended:
            result = calls.shutdown(self._handle)
            waits = result < 0 and calls.get_error(self._handle, result) == _WANT_WRITE
            calls.clear_error()
            self._ended = not waits
        return self._ended and self.flush()


def _made(chain: int | None) -> int:
    if not chain:
        raise MemoryError
    return chain


def _free(calls: _Library, handle: int, chain: int) -> None:
    # without this, some versions would send close_notify to whatever has the descriptor by now
    calls.set_quiet(handle, 1)
    calls.free_all(chain)


def _handle_of(sock: Any, calls: _Library) -> int:
    inner: Any = sock._sslobj
    words = (ctypes.c_void_p * 2).from_address(id(inner) + _HANDLE_AT)
    if words[1] != id(inner.context) or calls.get_descriptor(words[0]) != sock.fileno():
        raise LookupError("this Python keeps its SSL handle elsewhere")
    return int(words[0] or 0)
