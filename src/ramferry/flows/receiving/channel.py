"""One multifd channel that ends here: receive, inflate and check, hand to the sink; one thread."""

from __future__ import annotations

import socket

import numpy as np

from ramferry.codec import Accelerated, create_decoder
from ramferry.codec.base import MAX_PAYLOAD, PACKET_BYTES, Decoder
from ramferry.errors import MigrationFailed
from ramferry.flows.contracts import ChannelSink, Pages
from ramferry.flows.incoming_channel import IncomingChannel
from ramferry.flows.receiving.reception import Reception
from ramferry.wire.packets import OFFSETS_AT, DeviceState, Initial, RamPacket


class ReceivingChannel(IncomingChannel):
    """Takes one channel's packets in."""

    _session: Reception

    def __init__(self, reception: Reception, source: socket.socket, initial: Initial) -> None:
        super().__init__(reception, source, initial)
        self._decoder: Decoder | None = None
        self._sink: ChannelSink | None = None
        self._in_place = True
        """Whether pages may be received or inflated where they belong."""

    def take(self, packet: RamPacket | DeviceState) -> None:
        """Hand the packet's pages to the sink; meet main where it is a SYNC."""
        if isinstance(packet, DeviceState):
            raise MigrationFailed(
                f"{self.name}: a device ({packet.idstr}) sends its state on a multifd channel, "
                "which only a relay carries: detach the device and migrate again"
            )
        if packet.normal or packet.zero:
            self._pages_packet(packet)
        self._tally.pages += packet.normal
        self._tally.zero_pages += packet.zero
        if packet.sync:
            self._tally.syncs += 1
            self._session.gate.arrive(self.initial.channel_id)
            # what follows belongs to the next round, which begins with main's mark; and before the
            # first mark nobody knows the RAM blocks
            self._session.gate.follow(self._tally.syncs)

    def _pages_packet(self, packet: RamPacket) -> None:
        if self._decoder is None:
            self._decoder = self._choose(packet.method)
        if self._sink is None:
            self._sink = self._session.sink.channel(self.initial.channel_id)
        # the parser's next header overwrites this one's
        offsets = np.frombuffer(packet.header, ">u8", packet.normal + packet.zero, OFFSETS_AT)
        offsets = offsets.astype(np.uint64)
        data = self._pages[: packet.normal * self._session.settings.page_size]
        if packet.normal:
            if self._in_place:
                data = self._sink.room(packet.block, offsets[: packet.normal]) or data
            self._receive_payload(self._decoder, packet, data)
        self._sink.pages(
            Pages(packet.block, offsets[: packet.normal], offsets[packet.normal :], data)
        )

    def _choose(self, method: str) -> Decoder:
        settings = self._session.settings
        decoder = create_decoder(
            method, page_size=settings.page_size, accelerator=settings.accelerator
        )
        if isinstance(decoder, Accelerated) and decoder.accelerated:
            self._in_place = False  # a device wants memory of its own
            self._payload = decoder.buffer(MAX_PAYLOAD)
            self._pages = decoder.buffer(PACKET_BYTES)
        self._session.note_codecs(method, decoder, None)
        return decoder
