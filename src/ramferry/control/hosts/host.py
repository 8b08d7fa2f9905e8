"""Hosts whose processes and sockets are those of this kernel: this one, a network namespace of it,
and one of which nothing is known but its address."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ramferry.control.hosts.addresses import is_here_only
from ramferry.control.hosts.contract import Host as Host
from ramferry.control.hosts.contract import Meter, Monitor, SharedFolder
from ramferry.control.hosts.cpu import CpuMeter, process_of
from ramferry.control.hosts.domain_process import find
from ramferry.control.hosts.folders import Folder
from ramferry.control.hosts.process import Process
from ramferry.control.hosts.socket_place import removed_at_end
from ramferry.control.hosts.started import Started, ramferry_line, start_line
from ramferry.errors import HostError
from ramferry.qatzip.accelerator import may_accelerate
from ramferry.transport.address import RelayAddress, TcpAddress
from ramferry.transport.monitor_socket import MonitorSocket
from ramferry.vocabulary import AUTO, ONE_MEMBER

NAMESPACES: Final = Path("/run/netns")
"""Where iproute2 gives network namespaces their names."""


class _OfThisKernel:
    """What all hosts have in common whose processes and sockets are those of this kernel."""

    __slots__ = ()
    apart = False
    address: str

    def command(self, line: Sequence[str]) -> list[str]:
        """See ``Host``."""
        return list(line)

    def start(self, arguments: Sequence[str], secret: bytes = b"") -> Started:
        """See ``Host``."""
        return start_line(self.command(ramferry_line(arguments)), secret)

    def monitor(self, address: str | tuple[str, int], timeout: float) -> Monitor:
        """See ``Host``."""
        return MonitorSocket(address, timeout)

    def process_of(
        self, host: str | None, peer_pid: int | None, vcpu_threads: Sequence[int]
    ) -> int | None:
        """See ``Host``."""
        return process_of(host, peer_pid, vcpu_threads)

    def domain_process(self, name: str, uuid: str) -> tuple[int, tuple[int, ...]] | None:
        """See ``Host``."""
        return find(name, uuid)

    def forsaken(self, path: str) -> AbstractContextManager[None]:
        """See ``Host``."""
        return removed_at_end(Path(path))

    def without_process(self, host: str) -> Host:
        """See ``Host``."""
        return Elsewhere(host)

    def process(self, pid: int) -> Process | None:
        """See ``Host``."""
        return Process(pid)

    def meter(self, pid: int | None, vcpu_threads: Sequence[int]) -> Meter:
        """See ``Host``."""
        return CpuMeter(pid, tuple(vcpu_threads))

    def folder(self, uri: str, process: Process | None, parents: tuple[Path, ...]) -> SharedFolder:
        """See ``Host``."""
        return Folder(uri, process, parents)

    def meeting(self) -> str:
        """See ``Host``."""
        return str(RelayAddress(TcpAddress(self.address, 0)))

    def reached_at(self, uri: str) -> str:
        """See ``Host``."""
        return uri

    def way_back(self) -> tuple[str, str]:
        """See ``Host``; nobody needs a relay for that."""
        raise HostError("there is no way back by relays on this host")

    def reaches(self, uri: str) -> bool:
        """See ``Host``; an address that the caller names is taken to be on the link between both
        sides."""
        del uri
        return True

    def may_accelerate(self, policy: str) -> bool:
        """See ``Host``."""
        return may_accelerate(policy)


@dataclass(frozen=True, slots=True)
class Here(_OfThisKernel):
    """The host and the network of this process."""

    address: str = "127.0.0.1"
    starts = True


@dataclass(frozen=True, slots=True)
class Namespace(_OfThisKernel):
    """A network namespace of this host, which stands for another host.

    Only its network is separate: the paths of sockets, also QMP's, are valid on both sides.
    """

    name: str
    address: str
    starts = True

    def command(self, line: Sequence[str]) -> list[str]:
        """See ``Host``; ``line`` runs under the process id of the command that is started here."""
        return ["nsenter", f"--net={NAMESPACES / self.name}", "--", *line]


@dataclass(frozen=True, slots=True)
class Elsewhere(_OfThisKernel):
    """A host that is reached over the network only.

    A QEMU whose process is not found may be in a container of this host, and which files it sees is
    not known.
    """

    address: str = ""
    starts = False

    def command(self, line: Sequence[str]) -> list[str]:
        """:raise HostError: always."""
        raise HostError(f"{line[0]} cannot be started on another host")

    def reaches(self, uri: str) -> bool:
        """See ``Host``."""
        return not is_here_only(uri)

    def may_accelerate(self, policy: str) -> bool:
        """See ``Host``."""
        del policy
        return True


HERE: Final = Here()


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where the two sides of a migration run."""

    source: Host = HERE
    destination: Host = HERE


BOTH_HERE: Final = Hosts()


def members_for(inflates: Host | None, accelerator: str) -> str:
    """Which of ``vocabulary.MEMBER_SIZES`` the relay that compresses is to be told.

    One member a packet if no device can work for the relay that inflates; else ``auto``, which is
    64K.

    :param inflates: where that relay of ours runs; None if something else inflates, such as a QEMU.
    :param accelerator: of that relay, one of ``vocabulary.ACCELERATORS``.
    """
    if inflates is None or inflates.may_accelerate(accelerator):
        return AUTO
    return ONE_MEMBER
