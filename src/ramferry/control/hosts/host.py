"""Where a QEMU runs, and what can be done there: start a command, make a folder for sockets.

Today a host is this one (``Here``), a network namespace of it (``Namespace``), or one to which only
the network leads (``Elsewhere``). Another way to reach a host, and to start commands on it, is one
more class with the members of ``Host``.
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

NAMESPACES: Final = Path("/run/netns")
"""Where iproute2 gives network namespaces their names."""


class Host(Protocol):
    """A host of a migration, as this process can use it."""

    @property
    def address(self) -> str:
        """The name or IP address at which the other host finds what listens on this one; empty if
        nobody knows it."""

    @property
    def starts(self) -> bool:
        """Whether commands can be started there, so that a relay can run beside a QEMU."""

    def command(self, line: Sequence[str]) -> list[str]:
        """What this process runs so that the command ``line`` runs there, with its own output.

        :raise HostError: nothing can be started there.
        """

    def folder(self, uri: str, process: Process | None, parents: tuple[Path, ...]) -> Folder:
        """Make a folder for sockets and files that a QEMU on this host shares with us.

        :param uri: the QEMU's QMP address, for sentences.
        :param process: the QEMU's process; None if it is not known.
        :param parents: where the folder may be made, best first; empty: the usual places.
        :raise HostError: it can be made in none of them.
        """

    def reaches(self, uri: str) -> bool:
        """Whether a QEMU there can connect to what listens at a migration URI beside us."""


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


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace of this host, which stands for another host.

    Only addresses of the network are apart: paths of sockets, QMP's among them, lead to either
    side.
    """

    name: str
    address: str
    starts = True

    def command(self, line: Sequence[str]) -> list[str]:
        """See ``Host``; the command keeps the process id of what starts it."""
        return ["nsenter", f"--net={NAMESPACES / self.name}", "--", *line]

    def folder(self, uri: str, process: Process | None, parents: tuple[Path, ...]) -> Folder:
        """See ``Host``."""
        return Folder(uri, process, parents)

    def reaches(self, uri: str) -> bool:
        """See ``Host``; whoever names an address in a namespace knows that it is the link's."""
        del uri
        return True


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A host to which only the network leads."""

    address: str = ""
    starts = False

    def command(self, line: Sequence[str]) -> list[str]:
        """:raise HostError: always."""
        raise HostError(f"{line[0]} cannot be started on another host")

    def folder(self, uri: str, process: Process | None, parents: tuple[Path, ...]) -> Folder:
        """See ``Host``; what a QEMU in a container sees of this host's files is not known."""
        return Folder(uri, process, parents)

    def reaches(self, uri: str) -> bool:
        """See ``Host``."""
        return not is_here_only(uri)


HERE: Final = Here()


@dataclass(frozen=True, slots=True)
class Hosts:
    """Where the two sides of a migration run."""

    source: Host = HERE
    destination: Host = HERE


BOTH_HERE: Final = Hosts()
