"""A multifd channel coming in: bounds packets, inflates payloads and checks them, in one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from ramferry.codec import Accelerated, create_decoder
from ramferry.codec.base import MAX_PAYLOAD, Decoder, Encoder
from ramferry.errors import MigrationFailed, PeerTimeout, RemoteProtocolError
from ramferry.flows.session.session import Phase, Session
from ramferry.flows.session.tally import ChannelTally
from ramferry.transport.connection import Connection
from ramferry.vocabulary import PACKET_BYTES
from ramferry.wire.channel_states import ChannelState
from ramferry.wire.digests import TRAILER_SIZE, SealReader, check_pages, check_payload
from ramferry.wire.multifd import DeviceState, MultifdParser, RamPacket
from ramferry.wire.packets import SYNC, Initial

_DEVICE_STATE_CHUNK: Final = 256 * 1024
_NOTHING: Final = memoryview(b"")


class ChannelTaker(Protocol):
    """What takes a channel's packets; every method is called in the inlet's thread."""

    @property
    def tally(self) -> ChannelTally:
        """The channel's counters, in and out."""

    @property
    def admit(self) -> Callable[[int], None]:
        """A function that is called with the size of a payload before it is received, and waits
        until there is room."""

    @property
    def room(self) -> Callable[[RamPacket], memoryview | None] | None:
        """Called before a payload is received: memory where the packet's pages belong, so that
        nobody has to copy them. None, or if it returns None: the inlet uses its own."""

    def begin(self) -> None:
        """Called once, before the first packet."""

    def choose(self, method: str) -> Encoder | None:
        """Called once the source's method is known; returns the encoder for the pages, None if they
        are not compressed."""

    def take(self, packet: RamPacket, payload: memoryview, pages: memoryview) -> None:
        """Take a packet of RAM.

        :param payload: the payload as it came; empty if the packet has no pages with content.
        :param pages: the same, inflated. Both belong to the inlet again on return.
        """

    def synced(self, count: int) -> None:
        """Called after the ``count``-th packet with SYNC: a round has ended on this channel."""

    def device(self, packet: DeviceState, pieces: Iterator[memoryview]) -> None:
        """Take a device's state; the taker must draw all ``pieces`` of its payload."""


class ChannelInlet:
    """Receives one channel's packets, checks them, and hands each to a taker."""

    def __init__(
        self,
        session: Session,
        source: Connection,
        initial: Initial,
        taker: ChannelTaker,
        seal: SealReader | None = None,
    ) -> None:
        """:param seal: checks digests where the source is a Ramferry that writes them."""
        self.name = initial.name
        self._seal = seal
        self._digests = (b"", 0)
        """Of the packet's pages and payload, as its header told them."""
        self._id = initial.channel_id
        self._session = session
        self._source = source
        self._taker = taker
        self._tally = taker.tally
        self._admit = taker.admit
        self._room = taker.room
        self._parser = self._make_parser()
        self._page_size = session.settings.page_size
        self._decoder: Decoder | None = None
        self._decoders: dict[str, Decoder] = {}
        self._method = ""
        # untouched memory of both costs nothing: the kernel maps it page by page
        self._pages = memoryview(bytearray(PACKET_BYTES))
        self._payload = memoryview(bytearray(MAX_PAYLOAD))

    def _make_parser(self) -> MultifdParser:
        parser = MultifdParser(page_size=self._session.settings.page_size, initial=False)
        parser.channel = self.name
        parser.blocks = self._session.blocks
        parser.mixed = self._session.mixed
        if self._seal is not None:
            parser.check_header = self._check_header
            parser.trailer = TRAILER_SIZE
        return parser

    def run(self) -> None:
        """Take packets until the source ends the channel.

        :raise RamferryError: the packets are at fault, or the taker failed; the error names the
            channel.
        """
        try:
            self._taker.begin()
            self._carry()
        except RemoteProtocolError as error:
            raise error.at(self.name, max(self._parser.packets - 1, 0)) from None
        except PeerTimeout as error:
            raise PeerTimeout(f"{self.name}: {error}") from error
        finally:
            # it refers to this object, whose buffers would stay until all of Python's memory is
            # looked through for such circles
            self._parser.check_header = None

    def _carry(self) -> None:
        """Receive headers, each in one call if it has come whole, and hand packets on."""
        parser, tally = self._parser, self._tally
        while True:
            least = parser.least
            try:
                count = self._source.receive(parser.space, least, idle=not parser.begun)
            except OSError as error:
                raise self._broken(error) from error
            tally.bytes_in += count
            if count < least:
                self._ended(count)
                return
            packet = parser.filled(count)
            if packet is None:
                continue
            tally.packets += 1
            if isinstance(packet, RamPacket):
                self._ram(packet)
            elif isinstance(packet, DeviceState):
                self._taker.device(packet, self._pieces(packet))
                parser.payload_done()

    def _ram(self, packet: RamPacket) -> None:
        tally = self._tally
        payload = pages = _NOTHING
        if packet.normal or packet.zero:
            if not tally.syncs:
                # nothing else proves that the block list is known
                raise RemoteProtocolError("a SYNC before the first pages", "pages")
            decoder = self._decoder
            if decoder is None or (self._parser.mixed and packet.method != self._method):
                decoder = self._choose(packet.method)
            if packet.normal:
                payload, pages = self._load(packet, decoder)
            if self._seal is not None:
                self._check_pages(packet, pages, coded=not decoder.verbatim)
        self._taker.take(packet, payload, pages)
        tally.pages += packet.normal
        tally.zero_pages += packet.zero
        if packet.flags & SYNC:
            self._meet()

    def _load(self, packet: RamPacket, decoder: Decoder) -> tuple[memoryview, memoryview]:
        """Receive and check a payload; returns it as it came, and inflated."""
        size, verbatim = packet.payload_size, decoder.verbatim
        whole = packet.normal * self._page_size
        limit = whole if verbatim else decoder.max_payload(packet.normal)
        if size > limit or (verbatim and size != limit):
            raise RemoteProtocolError(
                f"{'' if verbatim else 'at most '}{limit} bytes for {packet.normal} pages",
                f"next_packet_size {size}",
            )
        self._admit(size)
        pages = (self._room(packet) if self._room else None) or self._pages[:whole]
        payload = pages if verbatim else self._payload[:size]
        try:
            count = self._source.receive(payload)
        except OSError as error:
            raise self._broken(error) from error
        self._tally.bytes_in += count
        if count < size:
            self._session.check()
            self._parser.ended(count)
        if not verbatim:
            if self._seal is not None:
                clock = self._tally.checking
                clock.run(size, check_payload, self._digests[1], packet.block, payload)
            self._decode(decoder, payload, pages)
        return payload, pages

    def _check_header(self, header: memoryview) -> None:
        assert self._seal is not None
        self._digests = self._seal.header(header)

    def _check_pages(self, packet: RamPacket, pages: memoryview, *, coded: bool) -> None:
        clock, count = self._tally.digesting, packet.normal + packet.zero
        told = (self._digests[0], packet.block, packet.header, count, pages)
        clock.run(len(pages), check_pages, *told, coded=coded)

    def _decode(self, decoder: Decoder, payload: memoryview, pages: memoryview) -> None:
        clock = self._tally.decoding
        clock.size += len(pages)
        if clock.size <= clock.due:
            decoder.decode(payload, pages)
            return
        begun = time.thread_time()
        decoder.decode(payload, pages)
        clock.add(len(pages), time.thread_time() - begun)

    def _choose(self, method: str) -> Decoder:
        """Make the codecs, once the source's method is known."""
        settings = self._session.settings
        known = self._decoders.get(method)
        decoder = known or create_decoder(
            method, page_size=self._page_size, accelerator=settings.accelerator
        )
        self._decoder, self._method = decoder, method
        self._decoders[method] = decoder
        encoder = self._taker.choose(method)
        # a device reads what the socket wrote, and writes what the socket reads
        if isinstance(decoder, Accelerated):
            self._payload = decoder.buffer(MAX_PAYLOAD)
            if decoder.accelerated:
                self._room = None
        for codec in (decoder, encoder):
            if isinstance(codec, Accelerated):
                self._pages = codec.buffer(PACKET_BYTES)
                break
        if known is None:
            self._session.note_codecs(method, decoder, encoder)
        return decoder

    def _meet(self) -> None:
        """Handle a SYNC: the round has ended on this channel."""
        self._tally.syncs += 1
        # main waits until this SYNC was taken, so a relay before this one waits for its receipt
        self._source.acknowledge()
        self._session.gate.arrive(self._id)
        self._taker.synced(self._tally.syncs)

    def _pieces(self, packet: DeviceState) -> Iterator[memoryview]:
        """A device's state, piece by piece, each valid until the next."""
        seal, size = self._seal, packet.payload_size
        if seal is None:
            yield from self._received(packet, size)
        else:
            pieces = self._received(packet, size + TRAILER_SIZE)
            yield from seal.state(packet.header, size, pieces)

    def _received(self, packet: DeviceState, size: int) -> Iterator[memoryview]:
        """The ``size`` bytes that follow a device's header, piece by piece."""
        if packet.begun:
            yield packet.begun
        left = size - len(packet.begun)
        while left:
            piece = self._payload[: min(left, _DEVICE_STATE_CHUNK)]
            try:
                count = self._source.receive(piece)
            except OSError as error:
                raise self._broken(error) from error
            self._tally.bytes_in += count
            if count < len(piece):
                self._session.check()
                self._parser.ended(size - left + count)
            yield piece
            left -= count

    def _ended(self, received: int) -> None:
        """The source has closed the channel."""
        self._session.check()
        if self._parser.state is ChannelState.PAYLOAD:
            self._parser.payload_done()
        self._parser.ended(received)
        if self._session.phase < Phase.SWITCHOVER and self._session.gate.gated:
            raise MigrationFailed(
                f"{self.name}: the source closed it after packet {self._parser.packets - 1}, "
                "before the last round"
            )

    def _broken(self, error: OSError) -> MigrationFailed:
        """The error of a broken connection.

        :raise Unwind: the migration has failed already, and this is a consequence.
        """
        self._session.check()
        return MigrationFailed(f"{self.name}: the source broke the connection: {error.strerror}")
