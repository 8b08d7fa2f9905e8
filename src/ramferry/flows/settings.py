"""The settings of a relay, a receiver and a sender."""

from __future__ import annotations

from dataclasses import dataclass

from ramferry.transport.address import Address, RelayAddress, TlsAddress
from ramferry.transport.security import Security
from ramferry.vocabulary import AUTO, DECIDE_SECONDS, PAGE_SIZE


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """The settings of a relay."""

    listen: Address
    connect: Address
    method: str
    """One of ``vocabulary.RELAY_METHODS``: the multifd-compression on the outgoing side."""
    level: int | None = None
    channels: int | None = None
    """multifd-channels; None: as many as are connected when the first sync mark comes."""
    max_bandwidth: float = 0.0
    """Bytes per second on the outgoing side, of all migrations together; 0: no cap."""
    max_migrations: int = 1
    """Most migrations that are carried at a time."""
    page_size: int = PAGE_SIZE
    stall_timeout: float = 60.0
    """Seconds after which a peer that stopped in the middle of something is given up."""
    accelerator: str = AUTO
    """One of ``ramferry.qatzip.ACCELERATORS``, for both directions."""
    member_size: str = AUTO
    """One of ``vocabulary.MEMBER_SIZES``, for the outgoing side; ``auto`` is 64K."""
    verify: bool = True
    """Whether digests are offered to a far end that is a Ramferry."""
    decide: float = DECIDE_SECONDS
    """Seconds that the far end, if it is a Ramferry, is waited for with the outcome of a
    switchover, and that the outcome is kept for it; 0: neither is done."""
    uuid: bytes | None = None
    """The UUID that the destination expects in the channels' initial packets; None for the
    source's."""
    security: Security | None = None
    """Credentials, and what is allowed without them; None: nothing beyond this host."""
    allow_no_return_path: bool = False
    """Whether a plain stream is carried whose source is not told how it ended."""
    any_stream: bool = False
    """Whether every connection is carried as bytes, from its first moment on."""
    cpu_limit: float = 0.0
    """Cores that a choice of methods or levels reckons with at most, here; 0: those that are
    free."""
    auto_level: bool = False
    """Whether each packet's level is chosen; ``level`` is None then."""
    hold_source: float = 0.0
    """Most seconds that the source keeps its connections after its migration has failed before the
    switchover; 0: none."""

    @property
    def clear_in(self) -> bool:
        """Whether what comes in is not encrypted."""
        return not isinstance(self.listen, TlsAddress)

    @property
    def to_ramferry(self) -> bool:
        """Whether the far end is a Ramferry, which may take plain streams."""
        return isinstance(self.connect, RelayAddress)

    @property
    def from_ramferry(self) -> bool:
        """Whether only Ramferrys may call, which may bring plain streams."""
        return isinstance(self.listen, RelayAddress)


@dataclass(frozen=True, slots=True)
class ReceiveSettings:
    """The settings of a receiver."""

    listen: Address
    channels: int | None = None
    """multifd-channels; None: as many as are connected when the first sync mark comes;
    0: a source without multifd."""
    threads: int = 0
    """Threads that take main's pages. 0: main's thread takes them, which is enough if there are
    multifd channels."""
    uuid: bytes = bytes(16)
    """The guest's UUID, used if there is no channel that tells it."""
    page_size: int = PAGE_SIZE
    accelerator: str = AUTO
    """One of ``ramferry.qatzip.ACCELERATORS``."""
    stall_timeout: float = 60.0
    """Seconds after which a source that stopped in the middle of something is given up."""
    verify: bool = True
    """Whether digests are offered to a source that is a Ramferry."""
    decide: float = DECIDE_SECONDS
    """Seconds that the outcome is kept for a source that is a Ramferry, which may ask for it; 0: it
    is not kept."""
    give_back: bool = False
    """Whether the source keeps its guest after the sink has it: the source is not told, and has to
    end the migration by itself."""
    switchover_ack: bool = False
    """Whether the source has the switchover-ack capability on. It then waits for a SWITCHOVER_ACK;
    without the capability it fails on one (machine types from 11.1 on)."""
    security: Security | None = None
    """Credentials, and what is allowed without them; None: nothing beyond this host."""
    cpu_limit: float = 0.0
    """As in ``RelaySettings``."""


@dataclass(frozen=True, slots=True)
class SendSettings:
    """The settings of a sender."""

    connect: Address
    method: str
    level: int | None = None
    channels: int = 2
    page_size: int = PAGE_SIZE
    max_bandwidth: float = 0.0
    """Most wire bytes per second; 0: no cap."""
    accelerator: str = AUTO
    member_size: str = AUTO
    """One of ``vocabulary.MEMBER_SIZES``; ``auto`` is 64K."""
    uuid: bytes = bytes(16)
    verify: bool = True
    """Whether digests are offered to a destination that is a Ramferry."""
    decide: float = DECIDE_SECONDS
    """Seconds that a destination that is a Ramferry is asked whether it has the guest; 0: it is
    not."""
    stall_timeout: float = 60.0
    """Seconds after which a destination that takes nothing is given up."""
    security: Security | None = None
    """Credentials, and what is allowed without them; None: nothing beyond this host."""
    clear_in: bool = True
    """See ``OutletSettings``; nothing comes in."""
    cpu_limit: float = 0.0
    """As in ``RelaySettings``."""

    @property
    def auto_level(self) -> bool:
        """See ``OutletSettings``; a sender has one level."""
        return False
