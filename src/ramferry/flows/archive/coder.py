"""Compresses and inflates single chunks by the multifd methods.

On a channel zlib keeps its state from packet to packet, and so does zstd at most levels. A chunk
of a file must be readable alone, so zlib gets a new encoder and decoder for each chunk, and zstd
writes a complete frame at every level. qatzip writes members of 64 KiB, because the host that
restores them may have a device.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from ramferry.codec import Decoder, Encoder, create_decoder, create_encoder, find_method
from ramferry.codec.zstd import ZstdFrameEncoder
from ramferry.vocabulary import Buffer

FRAMES: Final = "zstd"
"""The method whose chunks can be sent to a QEMU as packets without being inflated."""
_STREAMING: Final = "zlib"


class ChunkEncoder:
    """Compresses chunks, one after another, in one thread."""

    def __init__(self, method: str, level: int | None, page_size: int) -> None:
        """:raise UsageError: there is no such method, or it has no such level."""
        self._make = partial(create_encoder, method, level, page_size=page_size)
        self._fresh = method == _STREAMING
        self.encoder: Encoder = (
            ZstdFrameEncoder(find_method(method).level(level)) if method == FRAMES else self._make()
        )

    def encode(self, pages: memoryview) -> list[Buffer]:
        """See ``codec.base.Encoder.encode``."""
        if self._fresh:
            self.encoder = self._make()
        return self.encoder.encode(pages)


class ChunkDecoder:
    """Inflates chunks, in any order, in one thread."""

    def __init__(self, method: str, page_size: int) -> None:
        """:raise UsageError: there is no such method."""
        self._make = partial(create_decoder, method, page_size=page_size)
        self._fresh = method == _STREAMING
        self.decoder: Decoder = self._make()

    def decode(self, payload: memoryview, out: memoryview) -> None:
        """See ``codec.base.Decoder.decode``.

        :raise CorruptDataError: the payload is not exactly these pages.
        """
        if self._fresh:
            self.decoder = self._make()
        self.decoder.decode(payload, out)
