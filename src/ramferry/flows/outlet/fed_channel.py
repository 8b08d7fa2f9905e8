"""A multifd channel of a migration that begins here: loads batches, compresses and sends them."""

from __future__ import annotations

from ramferry.codec import Accelerated
from ramferry.errors import MigrationFailed, PeerTimeout
from ramferry.flows.contracts import Pages
from ramferry.flows.outlet.channel import OutletChannel
from ramferry.flows.outlet.handout import Handout
from ramferry.flows.outlet.outlet import Outlet
from ramferry.vocabulary import METHOD_FLAGS, PACKET_BYTES, Buffer
from ramferry.wire.packets import SYNC, Initial, ram_header


class FedChannel:
    """Takes the next batch whenever it has sent the last one, in its own thread."""

    def __init__(self, outlet: Outlet, channel_id: int, uuid: bytes, handout: Handout) -> None:
        """:raise UsageError: there is no such method, or it has no such level."""
        self._out = OutletChannel(outlet, Initial(uuid, channel_id))
        self.name = self._out.name
        self._session = outlet.session
        self._handout = handout
        self._page_size = outlet.settings.page_size
        encoder = self._out.create_encoder()
        self._flags = METHOD_FLAGS[outlet.settings.method]
        self._buffer = memoryview(bytearray(PACKET_BYTES))
        if isinstance(encoder, Accelerated):
            self._buffer = encoder.buffer(PACKET_BYTES)

    def open(self) -> None:
        """Connect, and send the initial packet."""
        self._out.open()

    def run(self) -> None:
        """Load, compress and send batches until there are no more.

        :raise RamferryError: a batch cannot be loaded, or the destination does not take it.
        """
        while (batch := self._handout.next()) is not None:
            self._session.check()
            self._carry(batch.load(self._buffer))

    def sync(self) -> None:
        """Send the SYNC that ends a round on this channel; called while its thread has nothing to
        send.

        :raise RamferryError: the destination does not take it.
        """
        header = ram_header(page_size=self._page_size, flags=SYNC)
        self._out.seal(memoryview(header), 0, b"", ())
        self._send([header], len(header))
        self._out.tally.syncs += 1

    def _carry(self, pages: Pages) -> None:
        payload = list(pages.payload)
        if len(pages.normal) and not payload:
            payload = self._out.encode(pages.data)
        size, tally = sum(map(len, payload)), self._out.tally
        header = ram_header(
            page_size=self._page_size,
            flags=self._flags,
            block=pages.block,
            normal=pages.normal,
            zero=pages.zero,
            payload_size=size,
            packet_num=tally.packets,
        )
        coded = payload if self._flags else ()
        self._out.seal(memoryview(header), len(pages.normal) + len(pages.zero), pages.data, coded)
        self._send([header, *payload], size + len(header))
        tally.packets += 1
        tally.pages += len(pages.normal)
        tally.zero_pages += len(pages.zero)

    def _send(self, parts: list[Buffer], size: int) -> None:
        try:
            self._out.send(parts, size)
        except PeerTimeout as error:
            raise MigrationFailed(f"{self.name}: the destination takes no more: {error}") from error
