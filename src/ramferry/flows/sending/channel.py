"""One multifd channel of a migration that begins here: load, compress, send; one thread."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Protocol

from ramferry.codec import Accelerated, create_encoder
from ramferry.codec.base import PACKET_BYTES, Encoder
from ramferry.errors import MigrationFailed, PeerTimeout, RamferryError
from ramferry.flows.contracts import Batch, Pages
from ramferry.flows.tally import ChannelTally, Tally
from ramferry.qatzip.accelerator import AUTO
from ramferry.transport import sockets
from ramferry.transport.address import Address
from ramferry.wire.packets import METHOD_FLAGS, SYNC, Initial, ram_header


@dataclass(frozen=True, slots=True)
class SendSettings:
    """What a sender was asked to do."""

    connect: Address
    method: str
    level: int | None = None
    channels: int = 2
    page_size: int = 4096
    max_bandwidth: float = 0.0
    """Wire bytes per second; 0: no cap."""
    accelerator: str = AUTO
    uuid: bytes = bytes(16)
    stall_timeout: float = 60.0
    """Seconds after which a destination that takes nothing is given up."""


class Feed(Protocol):
    """What a channel needs of the migration that it belongs to."""

    error: RamferryError | None
    tally: Tally

    def next(self) -> Batch | None:
        """What to send next, as what was taken before is sent or given up; None at the end."""

    def send(self, sock: socket.socket, parts: list[sockets.Buffer], size: int) -> None:
        """Send a packet when its slot comes."""

    def abort(self, error: RamferryError) -> None:
        """End the migration."""


class SendingChannel:
    """One multifd channel: its socket, its encoder, its thread."""

    def __init__(self, outgoing: Feed, settings: SendSettings, channel_id: int) -> None:
        self.name = f"multifd {channel_id}"
        self.sock: socket.socket | None = None
        self._outgoing = outgoing
        self._settings = settings
        self._id = channel_id
        self.encoder: Encoder = create_encoder(
            settings.method,
            settings.level,
            page_size=settings.page_size,
            accelerator=settings.accelerator,
        )
        self._flags = METHOD_FLAGS[settings.method]
        self._tally: ChannelTally = outgoing.tally.channel(self.name)
        self._buffer = memoryview(bytearray(PACKET_BYTES))
        if isinstance(self.encoder, Accelerated):
            self._buffer = self.encoder.buffer(PACKET_BYTES)

    def open(self, sock: socket.socket) -> None:
        """Say which channel of which guest this is."""
        self.sock = sock
        raw = Initial(self._settings.uuid, self._id).encode()
        self._tally.bytes_out += sockets.send_all(sock, [raw])

    def run(self) -> None:
        """Load, compress and send batches until there are no more."""
        more = True
        while more:
            try:
                more = self._next()
            except (OSError, PeerTimeout) as error:
                self._outgoing.abort(self._refused(error))
            except RamferryError as error:
                self._outgoing.abort(error)
            except Exception as error:
                self._outgoing.abort(RamferryError(f"internal error in {self.name}: {error!r}"))

    def _next(self) -> bool:
        """Take and send one batch; False at the end."""
        batch = self._outgoing.next()
        if batch is not None and self._outgoing.error is None:
            self._carry(batch.load(self._buffer))
        return batch is not None

    def _refused(self, error: OSError | PeerTimeout) -> MigrationFailed:
        return MigrationFailed(f"{self.name}: the destination takes no more: {error}")

    def sync(self) -> None:
        """End the round on this channel; called while its thread has nothing to send."""
        assert self.sock is not None
        header = ram_header(page_size=self._settings.page_size, flags=SYNC)
        try:
            self._tally.bytes_out += sockets.send_all(self.sock, [header])
        except (OSError, PeerTimeout) as error:
            self._outgoing.abort(self._refused(error))
        self._tally.syncs += 1

    def _carry(self, pages: Pages) -> None:
        assert self.sock is not None
        payload = list(pages.payload)
        if len(pages.normal) and not payload:
            begun = time.thread_time()
            payload = self.encoder.encode(pages.data)
            self._tally.codec_seconds += time.thread_time() - begun
        size = sum(map(len, payload))
        header = ram_header(
            page_size=self._settings.page_size,
            flags=self._flags,
            block=pages.block,
            normal=pages.normal,
            zero=pages.zero,
            payload_size=size,
            packet_num=self._tally.packets,
        )
        size += len(header)
        self._outgoing.send(self.sock, [header, *payload], size)
        self._tally.bytes_out += size
        self._tally.packets += 1
        self._tally.pages += len(pages.normal)
        self._tally.zero_pages += len(pages.zero)
