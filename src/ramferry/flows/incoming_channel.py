"""The receiving half of a multifd channel: packets bounded, payloads inflated and checked."""

from __future__ import annotations

import socket
import time

from ramferry.codec.base import MAX_PAYLOAD, PACKET_BYTES, Decoder
from ramferry.errors import MigrationFailed, PeerTimeout, RemoteProtocolError
from ramferry.flows.migration import Migration, Phase
from ramferry.transport import sockets
from ramferry.wire.multifd import MultifdParser, State
from ramferry.wire.packets import DeviceState, Initial, RamPacket


class IncomingChannel:
    """Receives one channel's packets; what becomes of them is a subclass's ``take``."""

    def __init__(self, migration: Migration, source: socket.socket, initial: Initial) -> None:
        self.initial = initial
        self.name = f"multifd {initial.channel_id}"
        self._session = migration
        self._source = source
        self._tally = migration.tally.channel(self.name)
        self._parser = MultifdParser(page_size=migration.settings.page_size, initial=False)
        self._parser.channel = self.name
        self._parser.blocks = migration.blocks
        # untouched memory of both costs nothing: the kernel maps it page by page
        self._pages = memoryview(bytearray(PACKET_BYTES))
        self._payload = memoryview(bytearray(MAX_PAYLOAD))

    def run(self) -> None:
        """Take packets until the source ends the channel."""
        try:
            self.begin()
            while (packet := self._next()) is not None:
                if isinstance(packet, RamPacket):
                    self._check_place(packet)
                self.take(packet)
        except (RemoteProtocolError, PeerTimeout) as error:
            if isinstance(error, RemoteProtocolError):
                raise error.at(self.name, max(self._parser.packets - 1, 0)) from None
            raise PeerTimeout(f"{self.name}: {error}") from error

    def begin(self) -> None:
        """Called once, before the first packet."""

    def take(self, packet: RamPacket | DeviceState) -> None:
        """Take a packet whose header was bounded; its payload, if any, comes next."""
        raise NotImplementedError

    def _check_place(self, packet: RamPacket) -> None:
        if (packet.normal or packet.zero) and not self._tally.syncs:
            # nothing else proves that the block list is known
            raise RemoteProtocolError("a SYNC before the first pages", "pages")

    def _next(self) -> RamPacket | DeviceState | None:
        """The next packet's header; None at the channel's end."""
        parser = self._parser
        while True:
            piece = parser.want()
            count = self._receive(piece, idle=parser.state is State.PREFIX)
            if count < len(piece):
                self._source_ended(count)
                return None
            packet = parser.filled()
            if isinstance(packet, RamPacket | DeviceState):
                self._tally.packets += 1
                return packet

    def _source_ended(self, received: int) -> None:
        self._session.check()
        self._parser.ended(received)
        if self._session.phase < Phase.SWITCHOVER and self._session.gate.gated:
            raise MigrationFailed(
                f"{self.name}: the source closed it after packet {self._parser.packets - 1}, "
                "before the last round"
            )

    def _receive(self, view: memoryview, *, idle: bool = False) -> int:
        try:
            count = sockets.receive_into(self._source, view, idle=idle)
        except OSError as error:
            self._session.check()
            raise MigrationFailed(
                f"{self.name}: the source broke the connection: {error.strerror}"
            ) from error
        self._tally.bytes_in += count
        return count

    def _receive_payload(
        self, decoder: Decoder, packet: RamPacket, pages: memoryview
    ) -> memoryview:
        """The payload as it came; ``pages`` holds what it inflates to."""
        size, verbatim = packet.payload_size, decoder.verbatim
        limit = len(pages) if verbatim else decoder.max_payload(packet.normal)
        if size > limit or (verbatim and size != limit):
            raise RemoteProtocolError(
                f"{'' if verbatim else 'at most '}{limit} bytes for {packet.normal} pages",
                f"next_packet_size {size}",
            )
        payload = pages if verbatim else self._payload[:size]
        count = self._receive(payload)
        if count < size:
            self._session.check()
            self._parser.ended(count)
        self._parser.payload_done()
        if not verbatim:
            begun = time.thread_time()
            decoder.decode(payload, pages)
            self._tally.codec_seconds += time.thread_time() - begun
        return payload
