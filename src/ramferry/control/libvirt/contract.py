"""What is asked of a libvirt daemon: one contract, kept by ``libvirt.so.0`` (``Library``) and by
the command ``virsh`` (``Virsh``).

Domains are named by name. A state is libvirt's word for it, as ``virsh domstate`` prints it. Errors
have libvirt's own sentences: ``PeerUnreachable`` where its daemon is not reached or was lost,
``UsageError`` for a domain that is not there, ``MethodUnavailable`` for whatever else it refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self

RUNNING: Final = "running"
PAUSED: Final = "paused"
SHUT_OFF: Final = "shut off"

STATES: Final = (
    "no state",
    RUNNING,
    "idle",
    PAUSED,
    "in shutdown",
    SHUT_OFF,
    "crashed",
    "pmsuspended",
)
"""A domain's states, by their numbers in ``virDomainState``."""

SYSTEM: Final = "qemu:///system"
"""The daemon of this host's own virtual machines."""

Stats = Mapping[str, int]
"""A job's statistics that are numbers, by their names in ``virDomainGetJobStats``, such as
``data_total`` in bytes and ``downtime`` in ms; empty while there is no job."""


@dataclass(frozen=True, slots=True)
class Move:
    """What libvirt is asked to do in a migration, beside the domain's name and where it goes."""

    migrate_uri: str
    """Where the source's QEMU connects, and the destination's listens: ``unix:///PATH``."""
    channels: int
    peer_to_peer: bool = False
    persistent: bool = False
    """Whether the destination keeps the domain's definition."""
    undefine_source: bool = False
    unsafe: bool = False
    """Whether libvirt's own doubts about the disks' caches are put aside."""
    copy_storage: str = ""
    """"" for none, else "all" or "inc": libvirt copies disks."""
    auto_converge: bool = False
    """Whether QEMU slows the guest down while it writes faster than it moves."""
    disks_uri: str = ""
    """Where copied disks go; empty for libvirt's choice."""


class Connection(Protocol):
    """A connection to one daemon; a context manager that closes it. Its methods may be called from
    any thread, also while ``migrate`` is under way in another one."""

    uri: str
    answers_within: float
    """Seconds after which a question counts as not answered."""

    @property
    def means(self) -> str:
        """By what libvirt is asked: "libvirt.so.0" or "virsh"."""

    @property
    def alive(self) -> bool:
        """False once the connection is known to be lost."""

    def names(self) -> list[str]:
        """The names of all domains."""

    def state(self, name: str) -> str:
        """A domain's state, one of ``STATES``."""

    def xml(self, name: str) -> str:
        """A domain's description as it runs now."""

    def migrate(self, name: str, destination: Self, move: Move) -> None:
        """Migrate a domain, and return when that is through.

        Without ``peer_to_peer`` this connection and ``destination`` carry what the two daemons
        agree on; with it, the source's daemon connects to the destination's URI itself.
        """

    def job(self, name: str) -> Stats:
        """The statistics of a domain's present job."""

    def last_job(self, name: str) -> Stats:
        """The statistics of its last job, which has completed."""

    def abort(self, name: str) -> None:
        """End a domain's job."""

    def set_max_downtime(self, name: str, milliseconds: int) -> None:
        """Set how long the guest may stand still, for the migration that is under way."""

    def suspend(self, name: str) -> None:
        """Stop a domain's guest. If that is done while it migrates, libvirt lets it go on where it
        arrives, or at the source if it does not."""

    def measure_dirty_rate(self, name: str, seconds: int) -> None:
        """Begin to measure how much memory a guest writes."""

    def dirty_rate(self, name: str) -> int | None:
        """What that found, in MiB a second; None while it is not through."""

    def monitor(self, name: str, command: str) -> Any:
        """Run a QMP command without arguments and return its answer. libvirt marks the domain as
        tainted by that ("custom-monitor"), for as long as it runs."""

    def close(self) -> None:
        """End the connection."""

    def __enter__(self) -> Self:
        """Use it."""

    def __exit__(self, *exc: object) -> None:
        """See ``close``."""
