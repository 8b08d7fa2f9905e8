"""One multifd channel: receive, inflate and check, compress, send; one thread."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ramferry.codec import Accelerated, create_decoder, create_encoder
from ramferry.codec.base import MAX_PAYLOAD, PACKET_BYTES, Buffer, Decoder, Encoder
from ramferry.errors import MigrationFailed, RamferryError
from ramferry.flows.incoming_channel import IncomingChannel
from ramferry.flows.loop import hung_up
from ramferry.flows.session import Session
from ramferry.transport import budget, sockets
from ramferry.wire.packets import DeviceState, Initial, RamPacket

_LOOK: Final = 0.25
"""Seconds between two looks at whether a channel that waits for main still has its source."""
_DEVICE_STATE_CHUNK: Final = 256 * 1024


class MultifdChannel(IncomingChannel):
    """Carries one channel's packets from the source to the destination."""

    _session: Session

    def __init__(
        self,
        session: Session,
        source: socket.socket,
        initial: Initial,
        connected: Callable[[socket.socket, str], None],
    ) -> None:
        super().__init__(session, source, initial)
        self._connected = connected
        self._destination: socket.socket | None = None
        self._decoder: Decoder | None = None
        self._encoder: Encoder | None = None
        self._growth = 1.0
        """Outgoing bytes per incoming byte of the last packet: what the next one will hold."""

    def take(self, packet: RamPacket | DeviceState) -> None:
        """Carry a packet on."""
        if isinstance(packet, DeviceState):
            self._device_state(packet)
        else:
            self._ram(packet)

    def farewell(self) -> None:
        """Nothing more will come: the destination must not wait for it."""
        if self._destination is not None:
            sockets.finish_sending(self._destination)

    def begin(self) -> None:
        """Connect onwards, once main is."""
        session = self._session
        while not session.onward.wait(_LOOK):
            if hung_up(self._source.fileno()):
                raise MigrationFailed(
                    f"{self.name}: the source closed it before its migration began"
                )
        session.check()
        self._destination = destination = self._connect()
        session.adopt(destination)
        sockets.tune(destination, session.settings.stall_timeout)
        sockets.set_buffers(destination, send=budget.INITIAL)
        session.check()
        raw = self._initial_onward().encode()
        self._tally.bytes_in += len(raw)
        self._send([raw], len(raw))
        self._connected(destination, self.name)

    def _connect(self) -> socket.socket:
        try:
            return sockets.connect(self._session.settings.connect)
        except RamferryError as error:
            # also in a switchover, which main may have reached alone where marks are not held: a
            # destination reads main only once all of its channels are connected, and waits
            self._session.fail(error, final=True)
            raise

    def _initial_onward(self) -> Initial:
        uuid = self._session.settings.uuid
        return self.initial if uuid is None else replace(self.initial, uuid=uuid)

    def _send(self, parts: list[Buffer], size: int) -> None:
        assert self._destination is not None
        self._session.gate.follow(self._tally.syncs)
        try:
            self._session.send_onward(self._destination, parts, size)
        except OSError as error:
            self._session.check()
            raise MigrationFailed(
                f"{self.name}: the destination broke the connection: {error.strerror}"
            ) from error
        self._tally.bytes_out += size

    def _ram(self, packet: RamPacket) -> None:
        if packet.normal:
            self._pages_packet(packet)
        else:
            if packet.zero:
                # no payload, but a destination checks the method of every packet with pages
                packet.rewrite(self._session.settings.method, 0)
            self._send([packet.header], len(packet.header))
        self._tally.pages += packet.normal
        self._tally.zero_pages += packet.zero
        if packet.sync:
            self._meet()

    def _pages_packet(self, packet: RamPacket) -> None:
        """Carry a packet with payload, held in the outbox from before its receipt until sent."""
        if self._decoder is None:
            self._decoder = self._choose(packet.method)
        outbox = self._session.outbox
        size = int(packet.payload_size * self._growth)
        if self._decoder.verbatim and self._encoder is None:
            outbox.admit(size, workers=1)
        else:
            outbox.admit(size)
        parts = self._carry_pages(self._decoder, packet)
        expected, size = size, sum(map(len, parts))
        self._growth = size / packet.payload_size
        outbox.ready(expected, size)
        self._send(parts, size)
        outbox.sent(size)

    def _carry_pages(self, decoder: Decoder, packet: RamPacket) -> list[Buffer]:
        """Receive and check a payload; returns what goes on in its place, header first."""
        pages = self._pages[: packet.normal * self._session.settings.page_size]
        payload = self._receive_payload(decoder, packet, pages)
        if self._encoder is None:
            return [packet.header, payload]
        begun = time.thread_time()
        out = self._encoder.encode(pages)
        self._tally.codec_seconds += time.thread_time() - begun
        packet.rewrite(self._session.settings.method, sum(map(len, out)))
        return [packet.header, *out]

    def _choose(self, method: str) -> Decoder:
        """The source's method is known: make the codecs for it."""
        settings = self._session.settings
        size, accelerator = settings.page_size, settings.accelerator
        decoder = create_decoder(method, page_size=size, accelerator=accelerator)
        if method != settings.method:
            self._encoder = create_encoder(
                settings.method, settings.level, page_size=size, accelerator=accelerator
            )
        # a device reads what the socket wrote, and writes what the socket reads
        if isinstance(decoder, Accelerated):
            self._payload = decoder.buffer(MAX_PAYLOAD)
        for codec in (decoder, self._encoder):
            if isinstance(codec, Accelerated):
                self._pages = codec.buffer(PACKET_BYTES)
                break
        self._session.note_codecs(method, decoder, self._encoder)
        return decoder

    def _meet(self) -> None:
        """The round's end on this channel; what comes next may be received, but not sent on."""
        self._tally.syncs += 1
        # main waits until this SYNC was taken, so a relay before this one waits for its receipt
        sockets.acknowledge(self._source)
        self._session.gate.arrive(self.initial.channel_id)
        if self._tally.syncs == 1:
            # pages come next, and only main's first mark proves that the block list was read
            self._session.gate.follow(1)

    def _device_state(self, packet: DeviceState) -> None:
        """Pass a device's state through, piece by piece: nobody but the device can read it."""
        self._send([packet.header], len(packet.header))
        left = packet.payload_size
        while left:
            piece = self._payload[: min(left, _DEVICE_STATE_CHUNK)]
            count = self._receive(piece)
            if count < len(piece):
                self._session.check()
                self._parser.ended(packet.payload_size - left + count)
            self._send([piece], len(piece))
            left -= count
        self._parser.payload_done()
