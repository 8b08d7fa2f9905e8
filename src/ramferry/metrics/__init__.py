"""Frozen records of what happened, from which text, JSON and progress are made."""

from __future__ import annotations

from dataclasses import dataclass, field

from ramferry.metrics.agreement import Agreement
from ramferry.metrics.choosing import Choosing
from ramferry.metrics.shown import shown_backend as shown_backend
from ramferry.metrics.shown import shown_members as shown_members
from ramferry.metrics.stalled import Stalled as Stalled


@dataclass(frozen=True, slots=True)
class ChannelCounters:
    """What one connection carried so far, in its direction source → destination."""

    name: str
    """ "main" or "multifd 3"."""
    bytes_in: int = 0
    """Bytes received from the source side, headers included."""
    bytes_out: int = 0
    """Bytes sent to the destination side, headers included."""
    packets: int = 0
    normal_pages: int = 0
    """QEMU's ``normal``: pages that came with their content."""
    zero_pages: int = 0
    syncs: int = 0


@dataclass(frozen=True, slots=True)
class RelayCounters:
    """A snapshot of a relay: sums over its channels, and the channels themselves."""

    seconds: float
    """Since the first byte of the migration."""
    bytes_in: int
    bytes_out: int
    packets: int
    normal_pages: int
    """QEMU's ``normal``: pages that came with their content."""
    zero_pages: int
    """QEMU's ``duplicate``: zero pages."""
    normal_bytes: int
    """Normal pages times page size: what was compressed or copied."""
    rounds: int
    """Number of sync marks that passed."""
    cpu_seconds: float
    """User and system time of the relay's process since the migration's first byte."""
    channels: tuple[ChannelCounters, ...] = field(default=())
    codec_seconds: float = 0.0
    """Thread time inside codecs; part of ``cpu_seconds``."""
    digest_seconds: float = 0.0
    """Thread time for the digests of packets; part of ``cpu_seconds``."""
    system_seconds: float = 0.0
    """Time in the kernel; part of ``cpu_seconds``."""
    migration: str = ""
    """The migration's id, 8 hexadecimal digits; the same at both ends of a ``relay:`` address."""
    state: str = ""
    """How far it is: one of ``metrics.states.STATES``; empty where nobody follows that."""
    method_in: str = ""
    """As in ``RelayResult``."""
    mark_seconds: float = 0.0
    """Seconds that main stood still at sync marks, until they could be sent on."""
    channel_wait_seconds: float = 0.0
    """Seconds that channels waited for sync marks, added up over them."""
    choice: str = ""
    """What is chosen now and why, in a few words, where each packet's method is chosen."""
    wire_by_method: dict[str, int] = field(default_factory=dict)
    """The same's bytes of payload sent, by method."""

    @property
    def python_share(self) -> float:
        """Share of the CPU time that no codec, digest or kernel used; 0 before any."""
        named = self.codec_seconds + self.digest_seconds + self.system_seconds
        rest = self.cpu_seconds - named
        return max(rest, 0.0) / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def ratio(self) -> float:
        """Guest bytes of normal pages per byte sent; 0 before anything was sent."""
        return self.normal_bytes / self.bytes_out if self.bytes_out else 0.0


@dataclass(frozen=True, slots=True)
class RelayResult:
    """The result of one migration through a relay."""

    completed: bool
    error: str
    """One sentence; empty if it completed."""
    exit_code: int
    method_in: str
    """As found on the wire; empty if no data packet came."""
    method_out: str
    level: int | None
    backend: str
    """What inflated and compressed, for example "isa-l"; "zstd → isa-l" if the two differ."""
    channels: int
    gated: bool
    """False if the main channel could not be parsed and its marks passed unheld."""
    max_rss_bytes: int
    """Most memory resident at any time, pages shared with other processes included."""
    counters: RelayCounters
    max_pss_bytes: int = 0
    """Most memory seen, with pages that n processes share counted as an n-th; measured once a
    second."""
    member_size: int | None = None
    """Most bytes of pages in a ``qatzip`` member that was written here: 65536, or 524288 if every
    packet was one member; None if nothing was compressed here by that method."""
    agreed_in: Agreement | None = None
    """What was agreed with the Ramferry that the migration came from; None if it was a QEMU."""
    agreed_out: Agreement | None = None
    """The same with the one that it went to."""
    migration: str = ""
    """As in ``RelayCounters``."""
    uuid: str = ""
    """The guest's UUID, as its multifd channels told it; empty if there was none."""
    source: str = ""
    """Who connected: a host's address, or a process of this host."""
    outcome: str = ""
    """One of ``metrics.states.OUTCOMES``."""
    downtime_seconds: float | None = None
    """Seconds from ram's END to the destination's SHUT, as the relay saw them: the guest stands
    still a little longer, from before END; None if either did not come."""
    kind: str = "multifd"
    """What was carried: "multifd", a migration with multifd channels; "plain", one without, over
    main alone; "stream", bytes that are no migration's."""
    streams: int = 0
    """Connections that carried it between two Ramferrys, of a plain migration or a stream."""
    choosing: Choosing | None = None
    """What was chosen, if ``method_out`` is "auto", or each packet's level was chosen."""


@dataclass(frozen=True, slots=True)
class MigrationResult:
    """One row of the result table; the columns of QEMU's QATzip documentation come first."""

    name: str
    """Row label: "qatzip", "zstd", "none" …"""
    method: str
    level: int | None
    channels: int
    route: str
    """ "relay pair", "source relay", "QEMU built-in"."""
    total_time_ms: int
    downtime_ms: int
    mbps: float | None
    """10^6 bit/s of wire bytes over the total time; None if nobody counted the wire bytes."""
    pages_per_second: float
    """Normal and zero pages over the total time."""
    send_cpu_percent: float | None
    """QEMU without its vCPU threads plus its relay; None if the side is remote."""
    recv_cpu_percent: float | None
    wire_bytes: int | None
    """Bytes on the wire; None if neither a relay here nor the source QEMU counted them."""
    normal_bytes: int
    """Normal pages times page size."""
    ratio: float | None
    """``guest_bytes`` over ``wire_bytes``; None if nobody counted those."""
    backend: str
    dirty_sync_count: int
    """Iterations, as QEMU counts them."""
    setup_time_ms: int = 0
    relays: tuple[RelayResult, ...] = field(default=())
    """The results of the relays on this host, the source's first."""
    member_size: int | None = None
    """That of the source relay; None if there was none."""
    downtime_limit_ms: int | None = None
    """How long the guest was allowed to stand still in the end: less than was asked for if it moved
    as well with less; None if that is not known."""
    stalled: Stalled | None = None
    """What was done about a stall; None if there was none."""


@dataclass(frozen=True, slots=True)
class SendProgress:
    """The progress of a migration that is sent from here: what QEMU tells in ``query-migrate``."""

    status: str
    setup_time_ms: int
    total_time_ms: int
    """Milliseconds since it began; after its end, how long it took."""
    downtime_ms: int | None
    """Milliseconds; None before the destination has taken the guest over."""
    expected_downtime_ms: int
    total_bytes: int
    """Bytes of guest memory."""
    remaining_bytes: int
    """Bytes of guest memory that were dirty at the last sync and are not sent yet."""
    dirty_sync_count: int
    dirty_pages_rate: int
    """Pages a second that were dirtied during the last round."""
    counters: RelayCounters


@dataclass(frozen=True, slots=True)
class ReceiveResult:
    """The result of one migration that was received here."""

    completed: bool
    error: str
    """One sentence; empty if it completed."""
    exit_code: int
    machine: str
    """The machine type's versioned name; empty if the stream ended before it."""
    method: str
    """As found on the wire; empty if no data packet came."""
    backend: str
    """What inflated."""
    channels: int
    counters: RelayCounters


@dataclass(frozen=True, slots=True)
class DiskOverlay:
    """Where a disk of a saved guest goes on, so that its image stays as it was at the save."""

    disk: str
    """QEMU's name of the device, its QOM path, or its node's name."""
    image: str
    """The image, which belongs to the saved memory."""
    image_node: str
    overlay: str
    """A qcow2 file over the image: the guest's writes go there."""
    overlay_node: str


@dataclass(frozen=True, slots=True)
class ArchiveResult:
    """How a VM's state was saved to a file, or restored from one."""

    action: str
    """ "saved" or "restored"."""
    file: str
    machine: str
    method: str
    """The method of the file."""
    level: int | None
    backend: str
    """What compressed or inflated here."""
    channels: int
    total_time_ms: int
    downtime_ms: int | None
    """Milliseconds that the guest stood still; None if it did not run before."""
    normal_bytes: int
    """Bytes of the pages with content that were sent, or that are in the file."""
    file_bytes: int
    ratio: float
    """Guest bytes over bytes of the file."""
    cpu_seconds: float
    """User and system time of this process."""
    run_state: str
    """The guest's run state at the end: "postmigrate", "running" …"""
    overlays: tuple[DiskOverlay, ...] = ()
    """The overlays of a saved guest's disks; empty without ``--disk-snapshot``."""
