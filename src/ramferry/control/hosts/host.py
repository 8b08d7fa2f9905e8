"""Where a QEMU runs, and what can be done there: start a command, make a folder for sockets.

A host is this one (``Here``), a network namespace of it (``Namespace``), or one that is reached
over the network only (``Elsewhere``). For another way to reach a host and to start commands on it,
add a class with the members of ``Host``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from ramferry.control.hosts.addresses import is_here_only
from ramferry.control.hosts.folders import Folder
from ramferry.control.hosts.process import Process
from ramferry.errors import HostError
from ramferry.qatzip.accelerator import may_accelerate
from ramferry.vocabulary import AUTO, ONE_MEMBER

NAMESPACES: Final = Path("/run/netns")
"""Where iproute2 gives network namespaces their names."""


class Host(Protocol):
    """What this process can do on a host that takes part in a migration."""

    @property
    def address(self) -> str:
        """The name or IP address by which the other host connects to this one; empty if it is not
        known."""

    @property
    def starts(self) -> bool:
        """Whether commands can be started there, so that a relay can run beside a QEMU."""

    def command(self, line: Sequence[str]) -> list[str]:
        """The command line to run here so that the command ``line`` runs there; its output comes
        back as that of the command that is run here.

        :raise HostError: nothing can be started there.
        """

    def folder(self, uri: str, process: Process | None, parents: tuple[Path, ...]) -> Folder:
        """Make a folder for sockets and files that a QEMU on this host shares with this process.

        :param uri: the QEMU's QMP address, for error messages.
        :param process: the QEMU's process; None if it is not known.
        :param parents: where the folder may be made, best first; empty: the usual places.
        :raise HostError: it can be made in none of them.
        """

    def reaches(self, uri: str) -> bool:
        """Whether a QEMU there can connect to a migration URI at which a process listens on this
        host."""

    def may_accelerate(self, policy: str) -> bool:
        """Whether a QAT device may work for a relay there; True if that is not known.

        :param policy: of that relay, one of ``vocabulary.ACCELERATORS``.
        """


@dataclass(frozen=True, slots=True)
class Here:
    """The host and the network of this process."""

    address: str = "127.0.0.1"
    starts = True

    def command(self, line: Sequence[str]) -> list[str]:
        """See ``Host``."""
        return list(line)

    def folder(self, uri: str, process: Process | None, parents: tuple[Path, ...]) -> Folder:
        """See ``Host``."""
        return Folder(uri, process, parents)

    def reaches(self, uri: str) -> bool:
        """See ``Host``."""
        del uri
        return True

    def may_accelerate(self, policy: str) -> bool:
        """See ``Host``."""
        return may_accelerate(policy)


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace of this host, which stands for another host.

    Only its network is separate: the paths of sockets, also QMP's, are valid on both sides.
    """

    name: str
    address: str
    starts = True

    def command(self, line: Sequence[str]) -> list[str]:
        """See ``Host``; ``line`` runs under the process id of the command that is started here."""
        return ["nsenter", f"--net={NAMESPACES / self.name}", "--", *line]

    def folder(self, uri: str, process: Process | None, parents: tuple[Path, ...]) -> Folder:
        """See ``Host``."""
        return Folder(uri, process, parents)

    def reaches(self, uri: str) -> bool:
        """See ``Host``; an address that the caller names is taken to be on the link between both
        sides."""
        del uri
        return True

    def may_accelerate(self, policy: str) -> bool:
        """See ``Host``."""
        return may_accelerate(policy)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A host that is reached over the network only."""

    address: str = ""
    starts = False

    def command(self, line: Sequence[str]) -> list[str]:
        """:raise HostError: always."""
        raise HostError(f"{line[0]} cannot be started on another host")

    def folder(self, uri: str, process: Process | None, parents: tuple[Path, ...]) -> Folder:
        """See ``Host``; the QEMU may be in a container of this host, and which files it sees is not
        known."""
        return Folder(uri, process, parents)

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
