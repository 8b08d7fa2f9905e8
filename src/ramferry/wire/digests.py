"""Digests of a multifd channel's packets between two Ramferrys (``docs/relay-protocol.md``).

They stand in the 28 bytes that a RAM packet's header reserves, and that QEMU leaves zero:

====  ====  ==================================================================================
at    size  content
====  ====  ==================================================================================
36    16    XXH3-128 of the pages: block name, offsets, and the pages themselves, inflated
52    8     XXH3-64 of the payload as it is sent; zero where the payload is the pages
60    4     the low half of XXH3-64 of the header, these 4 bytes zero; its seed is the header before
====  ====  ==================================================================================

Because each header's digest is the seed of the next one's, the last one stands for all that was
sent on the channel: a packet that is missing, doubled or out of order is seen as well.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

import xxhash

from ramferry.errors import CorruptDataError, RemoteProtocolError
from ramferry.vocabulary import Buffer
from ramferry.wire.packets import FLAGS_AT, INITIAL_SIZE, OFFSETS_AT, SYNC

NAME: Final = "xxh3-128"
"""How a hello calls them."""
LINK: Final = "the link between the hosts is to be suspected"
"""What is said where bytes came otherwise than they were sent."""
PAGES_AT: Final = 36
PAYLOAD_AT: Final = 52
HEADER_AT: Final = 60
_BLOCK_AT: Final = 64
_SYNC_AT: Final = FLAGS_AT + 3
"""The byte of the flags that holds SYNC."""
_END: Final = 64
TRAILER_SIZE: Final = 8
"""Bytes after the payload of a device's state, whose header has no room: XXH3-64 of both, with
the seed of a header's."""
_U32: Final = struct.Struct(">I")
_U64: Final = struct.Struct(">Q")
_NOTHING: Final = bytes(28)


def pages_digest(header: Buffer, count: int, pages: Buffer) -> bytes:
    """The digest of a packet's pages, 16 bytes.

    :param header: of the packet; its block name and offsets are read.
    :param count: pages with content and zero pages, whose offsets the header has.
    :param pages: the content of those that are not zero.
    """
    digest = xxhash.xxh3_128(header[_BLOCK_AT : OFFSETS_AT + 8 * count])
    if pages:
        digest.update(pages)
    return digest.digest()


class _Chain:
    """The running digest of one channel in one direction."""

    def __init__(self, token: bytes) -> None:
        """:param token: the migration's, so that no other migration's packets fit."""
        self._value: int = _U64.unpack_from(token)[0]
        self._syncs = 0
        self._synced: dict[int, int] = {}
        self._stream: xxhash.xxh3_64 | None = None
        """Of a device's state that is under way."""

    def at(self, count: int) -> int:
        """The value at the ``count``-th SYNC, counted from 1; it can be asked for once."""
        return self._synced.pop(count)

    def _feed(self, piece: Buffer) -> None:
        if self._stream is None:
            self._stream = xxhash.xxh3_64(seed=self._value)
        self._stream.update(piece)

    def _fed(self) -> int:
        assert self._stream is not None
        self._value = self._stream.intdigest()
        self._stream = None
        return self._value

    def _link(self, data: Buffer) -> int:
        self._value = xxhash.xxh3_64_intdigest(data, self._value)
        return self._value & 0xFFFFFFFF

    def _linked(self, header: memoryview) -> None:
        """A RAM packet's header is a link: the value at a SYNC is kept for its mark."""
        if header[_SYNC_AT] & SYNC:
            self._syncs += 1
            self._synced[self._syncs] = self._value


class Sealer(_Chain):
    """Writes the digests of one channel's packets into their headers, in the order of sending."""

    def initial(self, raw: bytes) -> bytes:
        """The channel's initial packet with its digest."""
        sealed = bytearray(raw)
        _U32.pack_into(sealed, HEADER_AT, self._link(sealed))
        return bytes(sealed)

    def seal(self, header: memoryview, count: int, pages: Buffer, parts: Iterable[Buffer]) -> None:
        """Seal a RAM packet's header, in place, when nothing else in it will change.

        :param count: pages with content and zero pages.
        :param pages: the pages with content, inflated.
        :param parts: the payload as it will be sent; empty if it is the pages themselves.
        """
        header[PAGES_AT:_END] = _NOTHING
        if count:
            header[PAGES_AT:PAYLOAD_AT] = pages_digest(header, count, pages)
        payload = None
        for part in parts:
            payload = payload or xxhash.xxh3_64()
            payload.update(part)
        if payload is not None:
            _U64.pack_into(header, PAYLOAD_AT, payload.intdigest())
        _U32.pack_into(header, HEADER_AT, self._link(header))
        self._linked(header)

    def device(self, piece: Buffer) -> None:
        """Take in a piece of a device's state: its header, then its payload."""
        self._feed(piece)

    def trailer(self) -> bytes:
        """What follows a device's state."""
        return _U64.pack(self._fed())


class SealReader(_Chain):
    """Checks the digests of one channel's packets, in the order of receiving."""

    def initial(self, raw: Buffer) -> bytes:
        """Check a channel's initial packet; returns it as a QEMU knows it.

        :raise RemoteProtocolError: it is not the one that was sent.
        """
        plain = bytearray(raw[:INITIAL_SIZE])
        self._check_header(plain)
        return bytes(plain)

    def header(self, header: memoryview) -> tuple[bytes, int]:
        """Check a RAM packet's header and clear the digests, in place.

        :return: the digests of its pages and its payload, for ``payload`` and ``pages``.
        :raise RemoteProtocolError: it is not the one that was sent at this place.
        """
        self._check_header(header)
        self._linked(header)
        pages = bytes(header[PAGES_AT:PAYLOAD_AT])
        payload = int(_U64.unpack_from(header, PAYLOAD_AT)[0])
        header[PAGES_AT:_END] = _NOTHING
        return pages, payload

    def state(
        self, header: Buffer, size: int, pieces: Iterable[memoryview]
    ) -> Iterator[memoryview]:
        """Check a device's state; yields the ``size`` bytes of its payload in pieces.

        The last byte comes after all were checked: a destination does not use a state that is cut.

        :param pieces: the payload and its trailer, each valid until the next.
        :raise RemoteProtocolError: header or payload are not those that were sent.
        """
        self._feed(header)
        left, held = max(size - 1, 0), bytearray()
        for piece in pieces:
            body = piece[:left]
            left -= len(body)
            held += piece[len(body) :]
            if body:
                self._feed(body)
                yield body
        last = memoryview(held)[: len(held) - TRAILER_SIZE]
        self._feed(last)
        if _U64.unpack_from(held, len(last))[0] != self._fed():
            raise _damaged("device state")
        if last:
            yield last

    def _check_header(self, header: bytearray | memoryview) -> None:
        told = _U32.unpack_from(header, HEADER_AT)[0]
        _U32.pack_into(header, HEADER_AT, 0)
        if self._link(header) != told:
            raise _damaged("header")


def check_payload(digest: int, block: str, payload: Buffer) -> None:
    """Check a payload before it is inflated.

    :param digest: as ``SealReader.header`` returned it.
    :param block: its pages', for the error.
    :raise RemoteProtocolError: it is not the one that was sent.
    """
    if xxhash.xxh3_64_intdigest(payload) != digest:
        raise _damaged(f"payload of pages of block {block!r}")


def check_pages(
    digest: bytes, block: str, header: Buffer, count: int, pages: Buffer, *, coded: bool
) -> None:
    """Check pages where they are about to become the destination's.

    :param digest: as ``SealReader.header`` returned it.
    :param block: its name, for the error; the other parameters are those of ``pages_digest``.
    :param coded: whether they were inflated from a payload that came as it was sent.
    :raise CorruptDataError: they are not the source's.
    """
    if pages_digest(header, count, pages) == digest:
        return
    if coded:
        raise CorruptDataError(
            f"the source's pages of block {block!r}",
            "others from a payload that came as it was sent: the codec, or the device that did its "
            "work, at either end is to be suspected",
        )
    raise _damaged(f"pages of block {block!r}")


def _damaged(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"the {what} as sent", f"another digest: {LINK}")
