"""QEMU's own ``zlib``, which costs several times what a relay's does: zlib in place of ISA-L.

At level 1 it deflates 139 MB/s where a relay does 626, and inflates 349 where a relay does 763
(``codec.zlib`` says how that was measured). Python has the library that the QEMUs of distributions
are linked with.
"""

from __future__ import annotations

import zlib

from ramferry.codec.base import MAX_PAYLOAD
from ramferry.vocabulary import Buffer


class QemuZlibEncoder:
    """The deflate stream of one of QEMU's channels."""

    backend = "zlib"

    def __init__(self, level: int) -> None:
        """:param level: 0-9, zlib's meaning."""
        self._stream = zlib.compressobj(level)

    def encode(self, pages: memoryview) -> list[Buffer]:
        """Deflate ``pages``, and flush as QEMU does."""
        return [self._stream.compress(pages), self._stream.flush(zlib.Z_SYNC_FLUSH)]


class QemuZlibDecoder:
    """The inflate stream of one of QEMU's channels."""

    backend = "zlib"
    verbatim = False

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()

    def max_payload(self, pages: int) -> int:  # noqa: ARG002
        """``MAX_PAYLOAD``, however many pages."""
        return MAX_PAYLOAD

    def decode(self, payload: memoryview, out: memoryview) -> None:
        """Inflate what ``QemuZlibEncoder`` made of as many pages as ``out`` holds."""
        # a limit that is reached would leave the flush's bytes behind
        out[:] = self._stream.decompress(payload, len(out) + 1)


def qemu_zlib(level: int) -> tuple[QemuZlibEncoder, QemuZlibDecoder]:
    """The codecs of one channel."""
    return QemuZlibEncoder(level), QemuZlibDecoder()
