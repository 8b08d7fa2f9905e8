"""What a relay, a receiver and a sender are asked to do."""

from __future__ import annotations

from dataclasses import dataclass

from ramferry.transport.address import Address
from ramferry.vocabulary import AUTO, PAGE_SIZE


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """What the relay was asked to do."""

    listen: Address
    connect: Address
    method: str
    """multifd-compression on the outgoing side."""
    level: int | None = None
    channels: int | None = None
    """multifd-channels; None: as many as are connected when the first sync mark comes."""
    max_bandwidth: float = 0.0
    """Bytes per second on the outgoing side; 0: no cap."""
    page_size: int = PAGE_SIZE
    stall_timeout: float = 60.0
    """Seconds after which a peer that stopped in the middle of something is given up."""
    accelerator: str = AUTO
    """One of ``ramferry.qatzip.ACCELERATORS``, for both directions."""
    uuid: bytes | None = None
    """What the destination expects in the channels' initial packets; None: what the source sends.
    """


@dataclass(frozen=True, slots=True)
class ReceiveSettings:
    """What a receiver was asked to do."""

    listen: Address
    channels: int | None = None
    """multifd-channels; None: as many as are connected when the first sync mark comes;
    0: a source without multifd."""
    threads: int = 0
    """For main's pages; 0: its own thread takes them, which will do beside multifd channels."""
    uuid: bytes = bytes(16)
    """The guest's, where there is no channel to tell it."""
    page_size: int = PAGE_SIZE
    accelerator: str = AUTO
    """One of ``ramferry.qatzip.ACCELERATORS``."""
    stall_timeout: float = 60.0
    """Seconds after which a source that stopped in the middle of something is given up."""
    give_back: bool = False
    """Whether the source is to keep its guest once the sink has it, too: it is told nothing, and
    has to end the migration by itself."""
    switchover_ack: bool = False
    """Whether the source has the switchover-ack capability on: it then waits for one, and fails on
    one that it did not ask for (machine types from 11.1 on)."""


@dataclass(frozen=True, slots=True)
class SendSettings:
    """What a sender was asked to do."""

    connect: Address
    method: str
    level: int | None = None
    channels: int = 2
    page_size: int = PAGE_SIZE
    max_bandwidth: float = 0.0
    """Wire bytes per second; 0: no cap."""
    accelerator: str = AUTO
    uuid: bytes = bytes(16)
    stall_timeout: float = 60.0
    """Seconds after which a destination that takes nothing is given up."""
