"""ISA-L's deflate and inflate (igzip), one call a member or packet.

The structures are those of ``igzip_lib.h`` of ISA-L 2.30 to 2.32: first what an application sets,
then ISA-L's internal state, of which only the state of the current block is read here.
"""

from __future__ import annotations

import ctypes
from typing import Final

from isal import igzip_lib

from ramferry.native.memory import CLibrary, address

_ERRORS: Final = {
    -1: "an invalid block",
    -2: "an invalid symbol",
    -3: "an invalid look-back distance",
}
"""Return codes of ``isal_inflate``, in ISA-L's own words."""

DEFLATE: Final = igzip_lib.COMP_DEFLATE
"""No trailer."""
GZIP_TRAILER: Final = igzip_lib.COMP_GZIP_NO_HDR
"""CRC-32 and length behind the deflate data, made in the same pass."""
ZLIB_TRAILER: Final = igzip_lib.COMP_ZLIB_NO_HDR
"""Adler-32 behind the deflate data."""

_NO_FLUSH, _SYNC_FLUSH = 0, 1
_MOST: Final = 1 << 30
"""Bytes that one call is given at most; its counters have 32 bits."""
_TOKENS: Final = 64 * 1024
"""Literals and matches, of 4 bytes each, that ISA-L collects for a block by default."""
_LEVEL_STATE: Final = 96 * 1024
"""Bytes of a level's hash tables, in front of its tokens: level 3 needs most, 84 KiB."""
_INTERNAL: Final = 128 * 1024
"""Bytes for the internal states: 82 KiB to deflate, 70 KiB behind the tables to inflate."""


class _DeflateStream(ctypes.Structure):
    """``struct isal_zstream``."""

    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_uint32),
        ("total_in", ctypes.c_uint32),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint32),
        ("total_out", ctypes.c_uint32),
        ("hufftables", ctypes.c_void_p),
        ("level", ctypes.c_uint32),
        ("level_buf_size", ctypes.c_uint32),
        ("level_buf", ctypes.c_void_p),
        ("end_of_stream", ctypes.c_uint16),
        ("flush", ctypes.c_uint16),
        ("gzip_flag", ctypes.c_uint16),
        ("hist_bits", ctypes.c_uint16),
        ("internal", ctypes.c_byte * _INTERNAL),
    )


class _InflateState(ctypes.Structure):
    """``struct inflate_state``."""

    _fields_ = (
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint32),
        ("total_out", ctypes.c_uint32),
        ("next_in", ctypes.c_void_p),
        ("read_in", ctypes.c_uint64),
        ("avail_in", ctypes.c_uint32),
        ("read_in_length", ctypes.c_int32),
        # literals and lengths: 4096 short codes, 1264 long ones; distances: 1024 and 80
        ("codes", ctypes.c_byte * (4096 * 4 + 1264 * 2 + 1024 * 2 + 80 * 2)),
        ("block_state", ctypes.c_int),
        ("internal", ctypes.c_byte * _INTERNAL),
    )


_FINISHED: Final = frozenset({4, 5})
"""``ISAL_BLOCK_INPUT_DONE`` and ``ISAL_BLOCK_FINISH``: the last block has been read."""

_library: Final = CLibrary.of(igzip_lib)
_STREAM: Final = ctypes.POINTER(_DeflateStream)
_STATE: Final = ctypes.POINTER(_InflateState)
_deflate_init: Final = _library.function("isal_deflate_init", None, _STREAM, holds_gil=True)
_deflate: Final = _library.function("isal_deflate", ctypes.c_int, _STREAM)
_inflate_init: Final = _library.function("isal_inflate_init", None, _STATE, holds_gil=True)
_inflate: Final = _library.function("isal_inflate", ctypes.c_int, _STATE)


class Deflate:
    """ISA-L's compressor at one level; used by one thread at a time."""

    def __init__(self, level: int, tokens: int = _TOKENS) -> None:
        """:param level: 1 to 3, ISA-L's meaning.
        :param tokens: literals and matches of a block: fewer fit their Huffman codes better, and
            take more time.
        """
        self._stream = _DeflateStream.from_buffer(bytearray(ctypes.sizeof(_DeflateStream)))
        self._level = level
        self._level_buf = memoryview(bytearray(_LEVEL_STATE + 4 * tokens))
        self._begin()

    def _begin(self, trailer: int = DEFLATE) -> None:
        stream = self._stream
        _deflate_init(stream)
        stream.level = self._level
        stream.level_buf = address(self._level_buf)
        stream.level_buf_size = len(self._level_buf)
        stream.gzip_flag = trailer

    def member(self, data: memoryview, out: memoryview, trailer: int = DEFLATE) -> int:
        """Compress ``data`` into ``out`` as deflate data that stands alone, and its trailer.

        :param out: at least ``bound(len(data))`` bytes.
        :param trailer: ``DEFLATE``, ``GZIP_TRAILER`` or ``ZLIB_TRAILER``.
        :return: bytes written.
        """
        self._begin(trailer)
        at = 0
        for start in range(0, len(data) or 1, _MOST):
            piece = data[start : start + _MOST]
            at += self._run(piece, out[at:], _NO_FLUSH, last=start + len(piece) == len(data))
        return at

    def packet(self, data: memoryview, out: memoryview) -> int:
        """Compress ``data`` into ``out`` as the next part of one stream, up to a sync flush.

        :param out: at least ``bound(len(data))`` bytes.
        :return: bytes written.
        """
        return self._run(data, out, _SYNC_FLUSH, last=False)

    def packet_alone(self, data: memoryview, out: memoryview) -> int:
        """As ``packet``, without a reference to what came before: the stream may go on with what
        somebody else compressed."""
        self._begin()
        return self._run(data, out, _SYNC_FLUSH, last=False)

    def _run(self, data: memoryview, out: memoryview, flush: int, *, last: bool) -> int:
        stream = self._stream
        room = min(len(out), 2 * _MOST)
        stream.next_in, stream.avail_in = address(data), len(data)
        stream.next_out, stream.avail_out = address(out), room
        stream.flush, stream.end_of_stream = flush, last
        code = _deflate(stream)
        # an overflow would be a fault of bound()
        assert code == 0, code
        assert not stream.avail_in
        assert stream.avail_out
        return room - int(stream.avail_out)


class Inflate:
    """ISA-L's decompressor of one raw deflate stream, fed packet by packet; for one thread."""

    def __init__(self) -> None:
        self._state = _InflateState.from_buffer(bytearray(ctypes.sizeof(_InflateState)))
        _inflate_init(self._state)
        self._beyond = memoryview(bytearray(1))

    def packet(self, data: memoryview, out: memoryview) -> tuple[int, int, bool]:
        """Inflate ``data`` into ``out``, and see whether there is more than that.

        :return: bytes inflated, which are one more than ``out`` has if it is too small; bytes of
            ``data`` left over; and whether the stream's last block has been read.
        :raise ValueError: it is not deflate data; says what is wrong.
        """
        state = self._state
        state.next_in, state.avail_in = address(data), len(data)
        filled = 0
        for room in (out, self._beyond):
            state.next_out, state.avail_out = address(room), len(room)
            code = _inflate(state)
            if code < 0:
                raise ValueError(_ERRORS.get(code, f"error {code}"))
            filled += len(room) - int(state.avail_out)
            if state.avail_out:
                break
        return filled, int(state.avail_in), state.block_state in _FINISHED
