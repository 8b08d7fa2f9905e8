"""One connection of a tunnel on its way in: receives pieces, inflates and checks them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ramferry.codec import Decoder
from ramferry.errors import RemoteProtocolError, kernel_error
from ramferry.flows.session.tally import ChannelTally
from ramferry.transport.connection import Connection
from ramferry.vocabulary import Buffer
from ramferry.wire.relay_stream import (
    HEAD_SIZE,
    MOST,
    MOST_PAYLOAD,
    PieceHead,
    PieceKind,
    Seal,
    order,
)

AHEAD: Final = 2
"""Pieces of a connection that may be here, or on their way into memory, and were not used up."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A piece that came, checked."""

    number: int
    size: int
    """Bytes of the stream."""
    parts: list[Buffer]
    """Its bytes in order."""


class PieceReceiver:
    """Receives pieces on one connection; used by one thread."""

    def __init__(
        self,
        connection: Connection,
        seal: Seal,
        page_size: int,
        make_decoder: Callable[[str], Decoder],
        tally: ChannelTally | None,
    ) -> None:
        """
        :param make_decoder: makes a method's decoder, once one is needed.
        :param tally: counts what comes; None if that is not this connection's main direction.
        """
        self._connection = connection
        self._seal = seal
        self._page_size = page_size
        self._make_decoder = make_decoder
        self._decoders: dict[str, Decoder] = {}
        self._tally = tally or ChannelTally("")
        self._raw = memoryview(bytearray(HEAD_SIZE))
        # untouched memory costs nothing
        self._payload = memoryview(bytearray(MOST_PAYLOAD))
        self._memories = [memoryview(bytearray(MOST)) for _ in range(AHEAD)]
        self._turn = 0
        self.total: int | None = None
        """How many pieces the stream has, once its end has come on this connection."""

    def head(self) -> PieceHead | None:
        """The head of the next piece; None if there is none: the end came, if ``total`` is set.

        :raise OSError: the connection broke.
        :raise RemoteProtocolError: it is no head.
        """
        if not self._receive(self._raw):
            return None
        head = self._seal.parse(self._raw, self._page_size)
        if head.kind is PieceKind.END:
            self.total = head.number
            return None
        return head

    def piece(self, head: PieceHead) -> Arrived:
        """The piece that belongs to a head; its memory is used again for the next but one.

        :raise OSError: the connection broke.
        :raise RemoteProtocolError: it is not the one that was sent.
        :raise CorruptDataError: it is not, though its payload is.
        """
        self._turn = (self._turn + 1) % AHEAD
        content = self._memories[self._turn][: head.content(self._page_size)]
        if head.method == "none":
            self._fill(content)
        else:
            payload = self._payload[: head.payload]
            decoder = self._decoder(head)
            self._fill(payload)
            self._tally.checking.run(len(payload), self._seal.check_payload, head, payload)
            self._tally.decoding.run(len(content), decoder.decode, payload, content)
        self._tally.digesting.run(len(content), self._seal.check_content, head, content)
        self._tally.packets += 1
        return Arrived(head.number, head.size, order(head, content, self._page_size))

    def _fill(self, view: memoryview) -> None:
        if not self._receive(view):
            raise kernel_error(errno.ECONNRESET)

    def _receive(self, view: memoryview) -> bool:
        """Fill ``view``, however long that takes; False if the connection ends before its first
        byte.

        :raise OSError: it broke, or ended in the middle.
        """
        filled = 0
        while filled < len(view):
            count = self._connection.receive_some(view[filled:], whole=True)
            if count == 0:
                if filled:
                    raise kernel_error(errno.ECONNRESET)
                return False
            filled += count or 0
        self._tally.bytes_in += filled
        return True

    def _decoder(self, head: PieceHead) -> Decoder:
        decoder = self._decoders.get(head.method)
        if decoder is None:
            decoder = self._decoders[head.method] = self._make_decoder(head.method)
        most = decoder.max_payload(head.content(self._page_size) // self._page_size)
        if head.payload > most:
            raise RemoteProtocolError(f"a payload of at most {most} bytes", f"{head.payload}")
        return decoder
