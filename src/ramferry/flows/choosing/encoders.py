"""The encoders of one channel whose packets go by several methods, or levels of one."""

from __future__ import annotations

from typing import Final

from ramferry.codec import create_encoder
from ramferry.codec.base import Encoder
from ramferry.codec.stored import stored
from ramferry.codec.zlib import HEADER, ZlibPacketEncoder
from ramferry.codec.zstd import ZstdFrameEncoder
from ramferry.policy.measurements import Candidate
from ramferry.vocabulary import AUTO, OFF, Buffer

_LIGHT: Final = 3
"""Highest level of zstd whose context is small: 2 MiB, for frames of 512 KiB. It is 10 MiB at 19
(libzstd 1.5.4)."""
_MOST: Final = 4
"""Most encoders of other methods that are kept: one for each class of pages."""


class Encoders:
    """Makes encoders as they are needed, and keeps few; used by one thread at a time.

    zstd has two at most, one for the lower levels and one for the higher, whose level is set when
    another one is asked for: a packet is a frame of its own, so levels and methods may change
    between any two.
    """

    def __init__(
        self, page_size: int, accelerator: str, member_size: str, method: str = ""
    ) -> None:
        """
        :param member_size: one of ``vocabulary.MEMBER_SIZES``, for ``qatzip``.
        :param method: the one of all packets; empty: each may have its own.
        """
        self._method = method
        self._header = HEADER if method == "zlib" else b""
        """What the stream begins with, until it has begun."""
        self._page_size = page_size
        self._accelerator = accelerator
        self._member_size = member_size
        self._made: dict[Candidate, Encoder] = {}
        self._zstd: dict[bool, tuple[ZstdFrameEncoder, int]] = {}
        """By whether it is for the higher levels, with the level that is set."""

    def of(self, candidate: Candidate) -> Encoder:
        """The encoder of a candidate; valid until the next call.

        :raise HostError: this host has no such library.
        """
        if candidate.method == "zstd":
            return self._at_level(candidate.level)
        if (known := self._made.get(candidate)) is not None:
            return known
        if len(self._made) >= _MOST:
            del self._made[next(iter(self._made))]
        encoder = self._made[candidate] = self._make(candidate)
        return encoder

    def plain(self, pages: memoryview) -> list[Buffer]:
        """Pages that are not compressed: as they are, or in the form that the one method has."""
        return stored(self._method, pages, self._member_size) if self._method else [pages]

    def payload(self, parts: list[Buffer]) -> list[Buffer]:
        """What is sent next, made of what an encoder, or ``plain``, returned."""
        header, self._header = self._header, b""
        return [header, *parts] if header else parts

    def _make(self, candidate: Candidate) -> Encoder:
        if candidate.method == "zlib":
            return ZlibPacketEncoder(candidate.level)
        by_members = candidate.method == "qatzip"
        return create_encoder(
            candidate.method,
            candidate.level or None,
            page_size=self._page_size,
            accelerator=self._accelerator if candidate.device else OFF,
            member_size=self._member_size if by_members else AUTO,
        )

    def _at_level(self, level: int) -> Encoder:
        high = level > _LIGHT
        encoder, now = self._zstd.get(high) or (ZstdFrameEncoder(level), level)
        if now != level:
            encoder.set_level(level)
        self._zstd[high] = encoder, level
        return encoder
