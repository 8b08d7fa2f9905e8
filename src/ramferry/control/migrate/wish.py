"""What the operator asks of a migration."""

from __future__ import annotations

from dataclasses import dataclass

from ramferry.control.hosts.host import BOTH_HERE, Hosts
from ramferry.control.migrate.on_stall import OnStall
from ramferry.control.migrate.relay_mode import RelayMode
from ramferry.control.migrate.stalling import STALL_SECONDS
from ramferry.vocabulary import AUTO, PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asked for."""

    method: str
    """One of ``vocabulary.RELAY_METHODS``."""
    level: int | None = None
    """None for the method's default, unless ``auto_level``."""
    channels: int = 8
    max_bandwidth: int = 0
    """Most wire bytes a second; 0 is unlimited."""
    downtime_limit_ms: int = 300
    """The most that the guest may stand still; QEMU is told less as long as that will do."""
    on_stall: OnStall = OnStall.WAIT
    """What is done once the migration does not come nearer to its end."""
    stall_seconds: float = STALL_SECONDS
    """How long that is waited for."""
    relay: RelayMode = RelayMode.AUTO
    page_size: int = PAGE_SIZE
    """The guest's target page size in bytes, for the relays."""
    accelerator: str = AUTO
    """One of ``ramferry.qatzip.ACCELERATORS``, for the relays on this host."""
    member_size: str = AUTO
    """One of ``vocabulary.MEMBER_SIZES``, for the source's relay; ``auto`` if there is none."""
    via: str | None = None
    """Migration URI of a relay that runs on the far host."""
    tls_creds: str = ""
    """Folder with the certificates of the relays on this host, which encrypt what goes from relay
    to relay; empty: they have none."""
    insecure: bool = False
    """Whether relays may meet in clear where other hosts can listen."""
    decide: float | None = None
    """Seconds in which relays that meet find out how a switchover ended that was cut; None for
    their default."""
    incoming: str | None = None
    """Migration URI where the destination QEMU is to listen."""
    cpu_limit: float = 0.0
    """Cores that a choice of methods or levels reckons with at most, on either host; 0: those that
    are free."""
    hosts: Hosts = BOTH_HERE
    """Where the two QEMUs run, and their relays beside them."""
    auto_level: bool = False
    """Whether the source's relay chooses each packet's level."""
