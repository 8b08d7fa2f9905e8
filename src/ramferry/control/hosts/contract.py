"""Where a QEMU runs, and what can be done there: reach its monitor, start a relay beside it, make a
folder for sockets, read its CPU time.

A host is this one (``Here``), a network namespace of it (``Namespace``), one on which ``ssh``
starts a far half of this program (``Ssh`` in ``control.hosts.ssh``), or one that is reached over
the network only (``Elsewhere``). For another way to reach a host and to start commands on it, add a
class with the members of ``Host``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, Self

from ramferry.control.hosts.process import Process
from ramferry.control.hosts.started import Started


class Monitor(Protocol):
    """A connection to a QEMU's monitor, for a protocol library that takes sockets."""

    raw: Any
    """The socket."""

    @property
    def peer_pid(self) -> int | None:
        """The process at its far end, by its id on its host; None if that is not known."""

    def close(self) -> None:
        """End the connection."""


class Meter(Protocol):
    """Reads one QEMU's CPU time."""

    def seconds(self) -> float | None:
        """See ``CpuMeter``."""


class SharedFolder(Protocol):
    """See ``Folder``, of which this is what a migration needs."""

    @property
    def path(self) -> Path:
        """Where it is on its host."""

    def require(self, *, writes: bool) -> None:
        """See ``Folder``."""

    def hand_over(self) -> None:
        """See ``Folder``."""

    def __enter__(self) -> Self:
        """Begin to use it."""

    def __exit__(self, *exc: object) -> None:
        """Remove it."""


class Host(Protocol):
    """What this process can do on a host that takes part in a migration."""

    @property
    def address(self) -> str:
        """The name or IP address by which the other host connects to this one; empty if it is not
        known."""

    @property
    def starts(self) -> bool:
        """Whether commands can be started there, so that a relay can run beside a QEMU."""

    @property
    def apart(self) -> bool:
        """Whether the way there is one for relays only, because these encrypt what they say to one
        another."""

    def command(self, line: Sequence[str]) -> list[str]:
        """The command line to run here so that the command ``line`` runs there; its output comes
        back as that of the command that is run here.

        :raise HostError: nothing can be started there in this way.
        """

    def start(self, arguments: Sequence[str], secret: bytes = b"") -> Started:
        """Start ``ramferry`` there.

        :param arguments: its command and options.
        :param secret: what it reads from its standard input; empty: nothing.
        :raise HostError: it cannot be started.
        """

    def monitor(self, address: str | tuple[str, int], timeout: float) -> Monitor:
        """Connect to a QEMU's monitor as a process there would.

        :param address: a UNIX socket's path, or host and port.
        :param timeout: seconds.
        :raise BlockingIOError: too many others wait for it.
        :raise OSError: nobody listens there.
        """

    def process_of(
        self, host: str | None, peer_pid: int | None, vcpu_threads: Sequence[int]
    ) -> int | None:
        """The process there that is the QEMU behind a monitor; None if it is none of this host's.

        :param host: of the monitor's address; None if that is a socket's path.
        :param peer_pid: the process at the monitor's far end.
        """

    def domain_process(self, name: str, uuid: str) -> tuple[int, tuple[int, ...]] | None:
        """The process of a libvirt domain's QEMU there, and its vCPUs' threads; None if it is not
        found."""

    def forsaken(self, path: str) -> AbstractContextManager[None]:
        """Have a socket there removed at the end of this, if whoever makes it leaves it behind."""

    def without_process(self, host: str) -> Host:
        """The host on which a QEMU is of which ``process_of`` found nothing.

        :param host: of its monitor's address; empty if that is a socket's path.
        """

    def process(self, pid: int) -> Process | None:
        """A QEMU's process, if this process can look at it; else None."""

    def meter(self, pid: int | None, vcpu_threads: Sequence[int]) -> Meter:
        """What reads a QEMU's CPU time; ``pid`` as ``process_of`` returned it."""

    def folder(self, uri: str, process: Process | None, parents: tuple[Path, ...]) -> SharedFolder:
        """Make a folder for sockets and files that a QEMU on this host shares with this process,
        or with relays that run there.

        :param uri: the QEMU's QMP address, for error messages.
        :param process: the QEMU's process; None if it is not known.
        :param parents: where the folder may be made, best first; empty: the usual places.
        :raise HostError: it can be made in none of them.
        """

    def meeting(self) -> str:
        """The migration URI at which a relay there is to listen for one on the other host."""

    def reached_at(self, uri: str) -> str:
        """The URI by which the other host connects to what listens there at ``uri``."""

    def way_back(self) -> tuple[str, str]:
        """The migration URI at which this process is to listen for a relay there, and the one to
        which that connects."""

    def reaches(self, uri: str) -> bool:
        """Whether a QEMU there can connect to a migration URI at which a process listens on this
        host."""

    def may_accelerate(self, policy: str) -> bool:
        """Whether a QAT device may work for a relay there; True if that is not known.

        :param policy: of that relay, one of ``vocabulary.ACCELERATORS``.
        """
