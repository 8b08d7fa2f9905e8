"""Decoders of the multifd methods: payloads into the caller's pages, between guards.

An input is a byte for the page size, then packets: u8 pages - 1, u24 size, payload.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import cache, partial
from typing import Final, Protocol

import zstandard

from codec_samples import encoded, sample_pages
from fuzz.guarded import Guarded
from fuzz.target import Target
from ramferry.codec import MAX_PAYLOAD, METHODS, create_decoder, create_encoder
from ramferry.errors import CorruptDataError

_SIZES: Final = (1024, 4096, 65536)
_MOST_PAGES: Final = 8
_MOST_OUT: Final = _MOST_PAGES * max(_SIZES)
_payloads: Final = Guarded(MAX_PAYLOAD)
_pages: Final = Guarded(_MOST_OUT)


def packed(pages: int, payload: bytes) -> bytes:
    """A packet as it stands in an input."""
    return bytes([pages - 1]) + len(payload).to_bytes(3, "big") + payload


def packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The packets of an input: how many pages each promises, and its payload."""
    at = 1
    while at + 4 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")
        yield data[at] % _MOST_PAGES + 1, data[at + 4 : at + 4 + size]
        at += 4 + size


def samples(method: str) -> list[bytes]:
    """Channels of a few packets, at each page size and at levels that write them differently."""
    levels = METHODS[method].levels
    found = []
    for place, page_size in enumerate(_SIZES[:2]):
        for level in (levels[0], 1, 3, levels[-1]) if levels else (None,):
            encoder = create_encoder(method, level, page_size=page_size)
            raw = bytes([place])
            for count in (3, 1, 2):
                pages = sample_pages(count, page_size, count)
                raw += packed(count, encoded(encoder, pages))
            found.append(raw)
    return found


class Reference(Protocol):
    """Another library's decoder of the same method; None where it refuses what may be accepted."""

    def __call__(self, payload: bytes, page_size: int, size: int) -> bytes | None: ...


def check(method: str, data: bytes) -> bool:
    """Whatever the payloads: exactly the promised pages, as others read them too, or an error."""
    page_size = _SIZES[data[0] % len(_SIZES)] if data else _SIZES[0]
    decoder, reference = create_decoder(method, page_size=page_size), _reference(method)
    accepted = False
    for count, payload in packets(data):
        if not payload or len(payload) > decoder.max_payload(count):
            return False  # as a channel refuses it before it receives
        size = count * page_size
        held, out = _payloads.holding(payload), _pages.buffer(size)
        try:
            decoder.decode(held, out)
        except CorruptDataError:
            _again(decoder, held, out)
            return False
        finally:
            _pages.check(size)
        assert held == payload, "a decoder that writes into its payload"
        try:
            others = reference(payload, page_size, size)
        except zlib.error:  # it refuses tables of codes that are not complete; ISA-L takes them
            return True
        assert others is None or bytes(out) == others, "other pages than others read"
        accepted = True
    return accepted


def _again(decoder: object, payload: memoryview, out: memoryview) -> None:
    """A decoder that refused is of no further use, but not dangerous."""
    try:
        decoder.decode(payload, out)  # type: ignore[attr-defined]
    except CorruptDataError:
        return


def _reference(method: str) -> Reference:
    if method == "none":
        return lambda payload, _page, _size: payload
    if method == "zlib":
        stream = zlib.decompressobj()
        return lambda payload, _page, _size: stream.decompress(payload)
    if method == "zstd":
        return _Zstd()
    if method == "qatzip":
        return lambda payload, _page, _size: _members(payload)
    return partial(_paged, {"qpl": -15, "uadk": 15}[method])


class _Zstd:
    """The frames of a channel, by the libzstd that is in the package ``zstandard``.

    It finds damage that the host's libzstd may pass: since 1.5.5 a block's bits must be used up.
    """

    def __init__(self) -> None:
        self._context = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        self._frame = self._context.decompressobj()
        self._stricter = False

    def __call__(self, payload: bytes, _page: int, _size: int) -> bytes | None:
        try:
            return None if self._stricter else self._decompressed(payload)
        except zstandard.ZstdError:
            self._stricter = True
            return None

    def _decompressed(self, payload: bytes) -> bytes:
        out = b""
        while payload:
            if self._frame.eof:
                self._frame = self._context.decompressobj()
            out += self._frame.decompress(payload)
            payload = self._frame.unused_data if self._frame.eof else b""
        return out


def _members(payload: bytes) -> bytes:
    """gzip members, by the standard library's zlib."""
    out = b""
    while payload:
        member = zlib.decompressobj(31)
        out += member.decompress(payload)
        assert member.eof
        payload = member.unused_data
    return out


def _paged(wbits: int, payload: bytes, page_size: int, size: int) -> bytes:
    pages = size // page_size
    at, out = 4 * pages, b""
    for page in range(pages):
        length = int.from_bytes(payload[4 * page : 4 * page + 4], "big")
        piece = payload[at : at + length]
        out += piece if length == page_size else zlib.decompress(piece, wbits)
        at += length
    return out


@cache
def targets() -> list[Target]:
    """One for each method."""
    tokens = (
        b"\x00\x00\xff\xff",
        b"\x28\xb5\x2f\xfd",
        b"\x1f\x8b\x08\x04",
        b"QZ\x08\x00",
        b"\x78\x9c",
        b"\x03\x00",
    )
    return [
        Target(f"codec-{method}", partial(check, method), partial(samples, method), tokens)
        for method in METHODS
    ]
