"""One connection of a tunnel on its way out: encodes pieces, seals and sends them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from ramferry.codec import Encoder
from ramferry.flows.session.tally import ChannelTally
from ramferry.transport.connection import Connection
from ramferry.vocabulary import AUTO, Buffer
from ramferry.wire.relay_packing import Gathered
from ramferry.wire.relay_stream import PieceHead, PieceKind, Seal, order

if TYPE_CHECKING:
    from ramferry.flows.choosing.adaptive import AdaptiveEncoder

_TOO_SMALL: Final = 256
"""Bytes that are not worth a codec's call: they are sent as they are."""


class PieceSender:
    """Sends pieces on one connection; used by one thread at a time."""

    def __init__(
        self,
        connection: Connection,
        seal: Seal,
        method: str,
        make_encoder: Callable[[ChannelTally], Encoder],
        tally: ChannelTally | None,
    ) -> None:
        """
        :param method: of the pieces; "auto": the encoder, an ``AdaptiveEncoder``, tells each one's.
        :param make_encoder: called once there is something to encode, with the counters of what
            goes out.
        :param tally: counts what goes out; None if that is not this connection's main direction.
        """
        self._connection = connection
        self._seal = seal
        self._method = method
        self._make_encoder = make_encoder
        self._encoder: Encoder | None = None
        self._tally = tally or ChannelTally("")

    def fileno(self) -> int:
        """The connection's descriptor."""
        return self._connection.fileno()

    def encode(self, piece: Gathered, number: int) -> tuple[list[Buffer], int]:
        """A piece as it is sent, and its size; valid until the next call, or ``piece`` is cleared.

        What went through the codec of one method is sent as that made it, also if it did not
        shrink: the streams of zlib and zstd go on from one piece to the next.
        """
        if self._method == "none" or (piece.size < _TOO_SMALL and not piece.pages):
            head, parts = self._plain(piece, number)
        else:
            head, parts = self._coded(piece, number)
        self._tally.packets += 1
        raw = self._seal.encode(head)
        return [raw, *parts], len(raw) + head.payload

    def _plain(self, piece: Gathered, number: int) -> tuple[PieceHead, list[Buffer]]:
        content, size = piece.plain(), piece.size
        head = PieceHead(number, size, size, content_digest=self._digest(number, content))
        return head, [content]

    def _coded(self, piece: Gathered, number: int) -> tuple[PieceHead, list[Buffer]]:
        content = piece.content()
        parts = self._encoded(content)
        method = self._method
        if method == AUTO:
            method = cast("AdaptiveEncoder", self._encoder).method
            if method == "none":
                return self._unpacked(piece, number, content)
        payload = sum(map(len, parts))
        digests = self._digest(number, content), self._payload_digest(number, parts)
        places = piece.pages, piece.runs, PieceKind.DATA
        return PieceHead(number, piece.size, payload, method, *places, *digests), parts

    def _unpacked(
        self, piece: Gathered, number: int, content: memoryview
    ) -> tuple[PieceHead, list[Buffer]]:
        """A piece as the stream has it, of its packed content."""
        size = piece.size
        parts = order(
            PieceHead(number, size, 0, "", piece.pages, piece.runs), content, piece.page_size
        )
        digest = self._tally.digesting.run(size, self._seal.digest_of, number, parts)
        return PieceHead(number, size, size, content_digest=digest), parts

    def send(self, parts: list[Buffer], size: int) -> None:
        """Send what ``encode`` returned.

        :raise OSError: the connection broke.
        :raise PeerTimeout: the peer takes nothing for the stall limit.
        """
        begun = time.monotonic()
        self._connection.send(parts)
        self._tally.sending += time.monotonic() - begun
        self._tally.bytes_out += size

    def end(self, number: int) -> None:
        """Say that the stream has ended after ``number`` pieces."""
        self._connection.send([self._seal.encode(PieceHead(number, 0, 0, kind=PieceKind.END))])
        self._connection.finish()

    def _encoded(self, content: memoryview) -> list[Buffer]:
        encoder = self._encoder = self._encoder or self._make_encoder(self._tally)
        return self._tally.encoding.run(len(content), encoder.encode, content)

    def _digest(self, number: int, content: memoryview) -> int:
        return self._tally.digesting.run(len(content), self._seal.digest, number, content)

    def _payload_digest(self, number: int, parts: list[Buffer]) -> int:
        if not self._seal.payloads:
            return 0
        return self._seal.digest_of(number, parts)
