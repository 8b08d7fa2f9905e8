"""Frames that carry main between two Ramferrys, in both directions (``docs/relay-protocol.md``).

A frame is its length, its kind, a digest, and so many bytes. The digest is XXH3-64 of the bytes;
its seed is the frame's number and kind, so that a frame that is damaged, missing, doubled, out of
order or taken for another kind is seen before anything of it is used.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

import xxhash

from ramferry.errors import RemoteProtocolError
from ramferry.vocabulary import Buffer
from ramferry.wire.digests import LINK

_HEAD: Final = struct.Struct(">IIQ")
HEAD_SIZE: Final = _HEAD.size
"""16 bytes."""
MOST: Final = 64 * 1024
"""Most bytes of a frame, without its head."""
MARK: Final = struct.Struct(">Q16sH")
"""A mark's bytes: its index, the running digest of the round before it, and how many multifd
channels the migration has; 0 where that is not known."""
NO_DIGEST: Final = bytes(16)
"""In a mark that was not held until every channel came to it, so that nothing can be compared."""


class FrameKind(IntEnum):
    """What a frame holds."""

    DATA = 0
    MARK = 1
    END = 2
    """Nothing: no more frames come. A stream that ends without it was cut."""


def _digest(number: int, kind: FrameKind, data: Buffer) -> int:
    return xxhash.xxh3_64_intdigest(data, number << 8 | kind)


class FrameWriter:
    """Makes the frames of one direction, in order."""

    def __init__(self) -> None:
        self._number = 0

    def head(self, kind: FrameKind, data: Buffer) -> bytes:
        """The head of the next frame, which holds ``data``; send it right before the data."""
        digest = _digest(self._number, kind, data)
        self._number += 1
        return _HEAD.pack(len(data), kind, digest)


class FrameReader:
    """Reads one direction's frames in order: ``open`` a head, receive its bytes, ``check``."""

    def __init__(self) -> None:
        self._number = 0
        self._digest = 0
        self.kind = FrameKind.DATA
        self.size = 0
        """Bytes that follow the head."""

    def open(self, head: Buffer) -> None:
        """Read a frame's head.

        :raise RemoteProtocolError: it is none.
        """
        size, kind, self._digest = _HEAD.unpack(head)
        try:
            self.kind = FrameKind(kind)
        except ValueError:
            raise self._damaged(f"kind {kind}") from None
        fits = {
            FrameKind.DATA: 0 < size <= MOST,
            FrameKind.MARK: size == MARK.size,
            FrameKind.END: not size,
        }
        if not fits[self.kind]:
            raise self._damaged(f"{size} bytes")
        self.size = size

    def check(self, data: Buffer) -> None:
        """Check the frame's bytes.

        :raise RemoteProtocolError: they are not those that were sent at this place.
        """
        if _digest(self._number, self.kind, data) != self._digest:
            raise self._damaged("another digest")
        self._number += 1

    def _damaged(self, what: str) -> RemoteProtocolError:
        return RemoteProtocolError(f"frame {self._number} as it was sent", f"{what}: {LINK}")
