"""A multifd channel going out: compresses pages, writes headers, and sends packets as paced."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final

from ramferry.codec import create_encoder
from ramferry.codec.base import Encoder
from ramferry.errors import HostError, MigrationFailed, PeerUnreachable
from ramferry.flows.outlet.outbox import WORKERS
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.outlet.refused import unless_main_tells
from ramferry.flows.session.tally import ChannelTally
from ramferry.transport.connection import Connection
from ramferry.vocabulary import Buffer
from ramferry.wire.digests import TRAILER_SIZE, Sealer
from ramferry.wire.multifd import DeviceState, RamPacket
from ramferry.wire.packets import INITIAL_SIZE, Initial

if TYPE_CHECKING:
    from ramferry.flows.choosing.adaptive import AdaptiveEncoder

_LOOK: Final = 0.25
"""Seconds between two checks whether the source of a channel that waits for main is still there."""


class OutletChannel:
    """One channel towards the destination; used by one thread."""

    def __init__(self, outlet: Outlet, initial: Initial) -> None:
        """:param initial: sent by ``open``: which channel of which guest this is."""
        self.name = initial.name
        self.tally = outlet.session.tally.channel(self.name)
        self._initial = initial
        self._outlet = outlet
        self._settings = outlet.settings
        self.connection: Connection
        """To the destination; set by ``open``."""
        self._encoder: Encoder | None = None
        self.adaptive: AdaptiveEncoder | None = None
        """The encoder, where it chooses each packet's method; set with it."""
        self.sealer: Sealer | None = None
        """Writes digests into packets' headers; None if none are agreed."""

    def open(self) -> None:
        """Connect, and send the initial packet.

        :raise RamferryError: nobody accepts, or the migration has failed.
        """
        self.connection = self._outlet.connect()
        far = self._outlet.far
        raw = self._initial.encode()
        if far is not None:
            raw, self.sealer = far.channel(self._initial)
        self.send([raw], INITIAL_SIZE)

    def create_encoder(self) -> Encoder:
        """Make and return the encoder that ``encode`` uses from here on.

        :raise UsageError: there is no such method, or it has no such level.
        """
        settings, chooser = self._settings, self._outlet.chooser
        if chooser is not None:
            self._encoder = self.adaptive = chooser.encoder(self.tally)
            return self.adaptive
        self._encoder = create_encoder(
            settings.method,
            settings.level,
            page_size=settings.page_size,
            accelerator=settings.accelerator,
            member_size=self._outlet.member_size,
        )
        return self._encoder

    def encode(self, pages: memoryview) -> list[Buffer]:
        """Compress pages; what it costs is in the tally."""
        assert self._encoder is not None
        clock = self.tally.encoding
        clock.size += len(pages)
        if clock.size <= clock.due:
            return self._encoder.encode(pages)
        begun = time.thread_time()
        parts = self._encoder.encode(pages)
        clock.add(len(pages), time.thread_time() - begun)
        return parts

    def seal(self, header: memoryview, count: int, pages: Buffer, coded: Sequence[Buffer]) -> None:
        """Write a packet's digests into its header, which does not change any more, if any are
        agreed on; see ``Sealer.seal``."""
        if self.sealer is not None:
            clock = self.tally.digesting
            clock.run(len(pages), self.sealer.seal, header, count, pages, coded)

    def send(self, parts: list[Buffer], size: int) -> None:
        """Wait for a slot on the wire, if there is a cap, and send ``parts``, ``size`` bytes in
        all.

        :raise MigrationFailed: the destination broke the connection.
        :raise PeerTimeout: the destination takes nothing for the stall limit.
        :raise Unwind: the migration has failed.
        """
        outlet = self._outlet
        if outlet.paced:
            outlet.pacer.wait(size)
            outlet.session.check()
        try:
            if outlet.chooser is None:
                self.connection.send(parts)
            else:
                begun = time.monotonic()
                self.connection.send(parts)
                self.tally.sending += time.monotonic() - begun
        except OSError as error:
            lost = outlet.lost(self.name, f"broke the connection ({error.strerror})")
            raise unless_main_tells(outlet.session, lost) from error
        self.tally.bytes_out += size

    def finish(self) -> None:
        """Tell the destination that nothing more comes."""
        if hasattr(self, "connection"):
            self.connection.finish()


class RelayedChannel:
    """A relay's channel going out: takes what its inlet received, in the inlet's thread.

    A :class:`~ramferry.flows.inlet.channel.ChannelTaker`.
    """

    room = None
    """See ``ChannelTaker``; pages are inflated into the inlet's own memory."""

    def __init__(
        self,
        outlet: Outlet,
        source: Connection,
        initial: Initial,
        connected: Callable[[Connection, str], None],
    ) -> None:
        """
        :param source: the channel's connection to the source; only checked for its end, never read.
        :param initial: the initial packet to send on.
        :param connected: called in the channel's thread once it is connected to the destination.
        """
        self._out = OutletChannel(outlet, initial)
        self._outlet = outlet
        self._source = source
        self._connected = connected
        self._gate = outlet.session.gate
        self._syncs = 0
        self._settings = outlet.settings
        self._method = outlet.settings.method
        self._encodes = self._inflates = False
        self._encoder: Encoder | None = None
        self._slot = outlet.outbox.slot()
        self.admit = self._slot.admit
        """See ``ChannelTaker``."""

    @property
    def tally(self) -> ChannelTally:
        """See ``ChannelTaker``."""
        return self._out.tally

    def begin(self) -> None:
        """See ``ChannelTaker``; connects to the destination, once main is connected."""
        session = self._outlet.session
        while not self._outlet.may_follow(_LOOK):
            if self._source.hung_up():
                raise MigrationFailed(
                    f"{self._out.name}: the source closed it before its migration began"
                )
        session.check()
        try:
            self._out.open()
        except (PeerUnreachable, HostError) as error:
            # also in a switchover, which main may have reached alone where marks are not held: a
            # destination reads main only once all of its channels are connected, and waits
            session.fail(error, final=True)
            raise
        self._out.tally.bytes_in += INITIAL_SIZE
        self._connected(self._out.connection, self._out.name)

    def choose(self, method: str) -> Encoder | None:
        """See ``ChannelTaker``; None if the method stays the same: payloads are then passed on as
        they came."""
        # a stream of one method cannot go on as it came, if packets of others may come between, or
        # of other levels
        passes = method == self._settings.method and (
            method == "none" or not (self._outlet.session.mixed or self._settings.auto_level)
        )
        self._encodes = not passes
        self._inflates = method != "none"
        if passes:
            if method == "none":
                self._slot.workers = 1
            return None
        if self._encoder is None:
            self._encoder = self._out.create_encoder()
            if self._out.adaptive is not None:
                # of packets with zero pages only, until others come
                self._method = self._out.adaptive.method
        return self._encoder

    def take(self, packet: RamPacket, payload: memoryview, pages: memoryview) -> None:
        """See ``ChannelTaker``; sends the packet on, with its header changed in place."""
        parts: list[Buffer] = [packet.header]
        size = len(packet.header)
        if packet.normal:
            parts += self._out.encode(pages) if self._encodes else (payload,)
            size = sum(map(len, parts))
            if self._out.adaptive is not None:
                self._chosen(self._out.adaptive)
            if self._encodes:
                packet.rewrite(self._method, size - len(packet.header))
            self._slot.ready(size)
        elif packet.zero:
            # no payload, but a destination checks the method of every packet with pages
            packet.rewrite(self._method, 0)
        if self._out.sealer is not None:
            coded = () if self._method == "none" else parts[1:]
            self._out.seal(packet.header, packet.normal + packet.zero, pages, coded)
        if held := self._gate.passed < self._syncs:
            if packet.normal:
                # main's mark waits for channels that may wait for room: none is taken meanwhile
                self._slot.sent()
            self._gate.follow(self._syncs)
        self._out.send(parts, size)
        if packet.normal and not held:
            self._slot.sent()

    def _chosen(self, adaptive: AdaptiveEncoder) -> None:
        """Take note of how it chose for a packet."""
        self._method = adaptive.method
        # not for one such packet among others: it would keep those behind it waiting
        passes = adaptive.plain and not self._inflates
        self._slot.workers = 1 if passes else WORKERS

    def synced(self, count: int) -> None:
        """See ``ChannelTaker``; what comes next is sent on only after main's mark."""
        self._syncs = count
        if count == 1:
            # pages come next, and only main's first mark proves that the block list was read
            self._gate.follow(1)

    def device(self, packet: DeviceState, pieces: Iterator[memoryview]) -> None:
        """See ``ChannelTaker``; passes it through unchanged."""
        self._gate.follow(self._syncs)
        sealer = self._out.sealer
        for piece in chain((packet.header,), pieces):
            if sealer is not None:
                sealer.device(piece)
            self._out.send([piece], len(piece))
        if sealer is not None:
            self._out.send([sealer.trailer()], TRAILER_SIZE)

    def farewell(self) -> None:
        """Called when nothing more will come and the migration has not failed."""
        self._out.finish()
