"""One QATzip session on the device: set up without a software path, called, torn down, rebuilt.

``sw_backup`` is always 0, so that the library says why it cannot instead of compressing in
software. Every call compares what was consumed and produced, and reads hw_session_stat. A session
that met an error is of no further use to the library: the next call sets up another.
"""

from __future__ import annotations

import ctypes
import weakref

from ramferry.native.memory import address
from ramferry.qatzip.library import (
    DATA_FORMATS,
    DEFLATE,
    DUPLICATE,
    OK,
    Library,
    QzSession,
    QzSessionParamsDeflate,
    words,
)
from ramferry.vocabulary import GZIP_EXT, MEMBER_SIZE

SHORTEST = 24
"""Input bytes that the library reads whatever it was told; shorter input is padded with zeros."""
LEAST_BYTES = 1024
"""Members with fewer input bytes are left to the CPU: QATzip's default of input_sz_thrshold."""


class DeviceError(Exception):
    """The device did not do a call, or only part of it. Never raised to callers of this package."""

    def __init__(self, text: str, code: int = OK) -> None:
        super().__init__(text)
        self.code = code


class DeviceSession:
    """One session: one level, one thread at a time, both directions."""

    def __init__(self, library: Library, level: int) -> None:
        """Nothing is set up before the first call."""
        self._library = library
        self._params = QzSessionParamsDeflate()
        library.defaults(self._params)
        self._params.comp_lvl = level
        self._params.comp_algorithm = DEFLATE
        self._params.data_fmt = DATA_FORMATS[GZIP_EXT]
        self._params.sw_backup = 0
        self._params.hw_buff_sz = MEMBER_SIZE
        self._params.strm_buff_sz = MEMBER_SIZE
        self._params.input_sz_thrshold = LEAST_BYTES
        self._session: QzSession | None = None
        self._end: weakref.finalize[..., DeviceSession] | None = None
        self._out = memoryview(b"")

    def compress(self, data: memoryview) -> memoryview:
        """Compress ``data``; the result is the session's, until its next call.

        :raise DeviceError: the device did not, or not all of it.
        """
        session = self._ready()
        bound = self._library.bound(len(data), session)
        if bound == 0:
            raise DeviceError("the library gives no bound for the output")
        if len(self._out) < bound:
            self._out = self._library.buffer(bound)
        source = address(data)
        sizes = ctypes.c_uint32(len(data)), ctypes.c_uint32(len(self._out))
        code = self._library.compress(session, source, sizes[0], address(self._out), sizes[1], 1)
        self._check("qzCompress", session, code)
        self._compare("qzCompress", (sizes[0].value, len(data)))
        if not 0 < sizes[1].value <= len(self._out):
            self._fail(f"qzCompress put out {sizes[1].value} bytes")
        return self._out[: sizes[1].value]

    def decompress(self, payload: memoryview, out: memoryview) -> None:
        """Decompress ``payload`` into ``out``, which it must fill.

        :raise DeviceError: the device did not, or not all of it.
        """
        session = self._ready()
        given = payload if len(payload) >= SHORTEST else _padded(payload)
        sizes = ctypes.c_uint32(len(payload)), ctypes.c_uint32(len(out))
        code = self._library.decompress(session, address(given), sizes[0], address(out), sizes[1])
        self._check("qzDecompress", session, code)
        self._compare("qzDecompress", (sizes[0].value, len(payload)), (sizes[1].value, len(out)))

    def drop(self) -> None:
        """Tear the session down; the next call sets up another."""
        self._session = None
        if self._end is not None:
            self._end()

    def _ready(self) -> QzSession:
        """Return the session, and set it up first if that has not been done."""
        if self._session is not None:
            return self._session
        session = QzSession()
        code = self._library.init(session, 0)
        if code not in (OK, DUPLICATE):
            raise DeviceError(f"qzInit returned {words(code)}", code)
        self._end = weakref.finalize(self, self._library.tear_down, session)
        self._end.atexit = False  # threads may still be in the library then; it cleans up itself
        self._check("qzSetupSessionDeflate", session, self._library.set_up(session, self._params))
        self._session = session
        return session

    def _check(self, call: str, session: QzSession, code: int) -> None:
        """Check both the return code and hw_session_stat; drop the session if either tells of a
        failure."""
        if code != OK:
            self._fail(f"{call} returned {words(code)}", code)
        if session.hw_session_stat not in (OK, DUPLICATE):
            stat = int(session.hw_session_stat)
            self._fail(f"after {call} hw_session_stat is {words(stat)}", stat)

    def _compare(self, call: str, *sizes: tuple[int, int]) -> None:
        for found, expected in sizes:
            if found != expected:
                self._fail(f"{call} did {found} of {expected} bytes")

    def _fail(self, text: str, code: int = OK) -> None:
        self.drop()
        raise DeviceError(text, code)


def _padded(payload: memoryview) -> memoryview:
    return memoryview(bytes(payload).ljust(SHORTEST, b"\0"))
