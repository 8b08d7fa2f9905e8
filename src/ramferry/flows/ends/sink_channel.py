"""A multifd channel that ends in a sink."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ramferry.codec.base import Encoder
from ramferry.errors import MigrationFailed
from ramferry.flows.contracts import ChannelSink, Offsets, Pages
from ramferry.flows.ends.intake import Intake
from ramferry.wire.multifd import DeviceState, RamPacket
from ramferry.wire.packets import OFFSETS_AT, Initial


class SinkChannel:
    """Hands one channel's pages to the sink; a ``ChannelTaker`` of ``inlet.channel``."""

    def __init__(self, intake: Intake, initial: Initial) -> None:
        self._id = initial.channel_id
        self.tally = intake.session.tally.channel(initial.name)
        """See ``ChannelTaker``."""
        self._intake = intake
        self._gate = intake.session.gate
        self._sink: ChannelSink | None = None

    def begin(self) -> None:
        """See ``ChannelTaker``; nothing has to be connected."""

    def admit(self, size: int) -> None:
        """See ``ChannelTaker``; never waits."""

    def choose(self, method: str) -> Encoder | None:
        """See ``ChannelTaker``; None, as pages are handed to the sink inflated."""
        del method
        self._sink = self._intake.sink.channel(self._id)
        return None

    def room(self, packet: RamPacket) -> memoryview | None:
        """See ``ChannelTaker``."""
        assert self._sink is not None
        return self._sink.room(packet.block, _offsets(packet, packet.normal))

    def take(self, packet: RamPacket, payload: memoryview, pages: memoryview) -> None:
        """See ``ChannelTaker``."""
        del payload
        if packet.normal or packet.zero:
            assert self._sink is not None
            offsets = _offsets(packet, packet.normal + packet.zero)
            self._sink.pages(
                Pages(packet.block, offsets[: packet.normal], offsets[packet.normal :], pages)
            )

    def synced(self, count: int) -> None:
        """See ``ChannelTaker``.

        Waits for main's mark, as what follows belongs to the next round; before the first mark the
        RAM blocks are not known either.
        """
        self._gate.follow(count)

    def device(self, packet: DeviceState, pieces: Iterator[memoryview]) -> None:
        """See ``ChannelTaker``; fails, as there is no device to take it."""
        del pieces
        raise MigrationFailed(
            f"{self.tally.name}: a device ({packet.idstr}) sends its state on a multifd channel, "
            "which only a relay carries: detach the device and migrate again"
        )


def _offsets(packet: RamPacket, count: int) -> Offsets:
    """The first ``count`` offsets of a header, copied because the next header overwrites it."""
    return np.frombuffer(packet.header, ">u8", count, OFFSETS_AT).astype(np.uint64)
