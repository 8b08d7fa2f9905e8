"""Where the blocks of a zstd stream end (RFC 8878 §3.1.1), read from their headers alone."""

from __future__ import annotations

from typing import Final

import zstandard

from ramferry.errors import CorruptDataError
from ramferry.vocabulary import Buffer

MAX_BLOCKS: Final = 4096
"""Blocks in one packet; 512 are needed to flush after each page of 1 KiB. Bounds the walk."""

_BLOCK_HEADER_BYTES: Final = 3
_CHECKSUM_BYTES: Final = 4
_RLE_BLOCK: Final = 1

_SINGLE_SEGMENT: Final = bytes.fromhex("28 b5 2f fd a0")
"""Magic number, and a descriptor that announces a content size of 4 bytes and no window."""
_BLOCK_BYTES: Final = 128 * 1024
"""The most that a block may hold."""


def raw_frame(content: memoryview) -> list[Buffer]:
    """A complete frame that holds ``content`` (not empty, of format ``B``) as it is, uncopied."""
    parts: list[Buffer] = [_SINGLE_SEGMENT + len(content).to_bytes(4, "little")]
    for first in range(0, len(content), _BLOCK_BYTES):
        block = content[first : first + _BLOCK_BYTES]
        last = first + len(block) == len(content)
        parts += [(len(block) << 3 | last).to_bytes(_BLOCK_HEADER_BYTES, "little"), block]
    return parts


class BlockWalk:
    """Follows a channel's frames from packet to packet.

    The library takes the beginning of a block and waits for the rest; a packet, though, must end
    where a block (with its frame's checksum, if any) ends, or bytes of it would silently become
    part of the next one.
    """

    def __init__(self) -> None:
        self._inside_frame = False
        self._checksum = False

    def check(self, payload: memoryview) -> None:
        """Step over the blocks of the next packet, whose content is not looked at.

        :raise CorruptDataError: ``payload`` is empty, does not end where a block ends, begins a
            frame with something else than a zstd frame header, or has over ``MAX_BLOCKS`` blocks.
        """
        at, end, blocks = 0, len(payload), 0
        if not end:
            raise CorruptDataError("zstd blocks", "an empty payload")
        while at < end and blocks < MAX_BLOCKS:
            if not self._inside_frame:
                at += self._enter_frame(payload[at:])
            elif at + _BLOCK_HEADER_BYTES > end:
                break
            else:
                header = payload[at] | payload[at + 1] << 8 | payload[at + 2] << 16
                size = 1 if header >> 1 & 3 == _RLE_BLOCK else header >> 3
                at += _BLOCK_HEADER_BYTES + size
                blocks += 1
                if header & 1:  # the frame's last block
                    self._inside_frame = False
                    at += _CHECKSUM_BYTES * self._checksum
        if at != end:
            raise CorruptDataError(
                f"a zstd payload of at most {MAX_BLOCKS} whole blocks",
                f"{end} bytes, and block {blocks} ends or begins at byte {at}",
            )

    def _enter_frame(self, data: memoryview) -> int:
        """Read a frame header and return its size."""
        try:
            size = zstandard.frame_header_size(data)
            self._checksum = zstandard.get_frame_parameters(data).has_checksum
        except zstandard.ZstdError as error:
            raise CorruptDataError("a zstd frame header", f"{bytes(data[:4]).hex(' ')}") from error
        self._inside_frame = True
        return size
