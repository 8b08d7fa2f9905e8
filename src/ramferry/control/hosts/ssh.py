"""A host that ``ssh`` reaches: a far half of this program does there what needs that host.

The far half (``control.far``) opens the QEMU's monitor and carries its bytes, tells what ``/proc``
tells, makes the folder of sockets, and starts the relay as its child. Everything goes by one
connection of ssh's standard streams; data go from relay to relay, directly or, with
``--through-ssh``, by a forwarding of the same ssh. If the connection is lost while the QEMU is
looked for, another one is made.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ramferry.control.hosts import far_protocol as far
from ramferry.control.hosts.contract import Host, Meter, Monitor, SharedFolder
from ramferry.control.hosts.far_child import FarChild
from ramferry.control.hosts.far_link import FarLink
from ramferry.control.hosts.process import Process
from ramferry.control.hosts.ssh_data import DataWay
from ramferry.control.hosts.ssh_process import (
    END_SECONDS,
    LEAVE_SECONDS,
    SshProcess,
    SshSettings,
)
from ramferry.control.hosts.ssh_uri import SshUri
from ramferry.control.hosts.started import Started
from ramferry.errors import HostError, RamferryError
from ramferry.patience import Patience
from ramferry.transport.carried import CarriedSocket
from ramferry.transport.tempfolder import TempFolder

MORE_SECONDS: Final = 5.0
"""How much longer than its own limit the answer to a question may take."""
REST_SECONDS: Final = 1.0
"""After a failed attempt to have another connection: an sshd shuts out who comes too often."""


class Ssh:
    """One host by ssh; a context manager that ends what was started there. See ``Host``."""

    starts = True
    apart = True

    def __init__(self, uri: SshUri, settings: SshSettings) -> None:
        """Connect.

        :raise PeerUnreachable: there is no way to it, or no Ramferry that fits.
        :raise HostError: this host has no ssh, or cannot start it.
        """
        self._uri, self._settings = uri, settings
        self._stack = ExitStack()
        self._pid: int | None = None
        self._rest, self._trouble = Patience(0.0), ""
        with ExitStack() as stack:
            self._here = stack.enter_context(TempFolder.for_sockets())
            self._begin()
            stack.callback(self._end)
            self._way = DataWay(uri, settings, self._process.hello, self._here.path)
            self._stack = stack.pop_all()

    def _begin(self) -> None:
        control = self._here.path / "ssh" if self._settings.through_ssh else None
        self._process = SshProcess(self._uri, self._settings, control)
        self._link = FarLink(self._uri.login, self._process.to_far, self._process.from_far)

    def _end(self) -> None:
        hears = not self._link.lost.is_set()
        self._link.close()
        self._process.end(LEAVE_SECONDS if hears else END_SECONDS)
        self._link.join(END_SECONDS)
        with suppress(OSError):
            self._process.from_far.close()

    @property
    def address(self) -> str:
        """See ``Host``."""
        return self._way.address

    def command(self, line: Sequence[str]) -> list[str]:
        """:raise HostError: always; see ``start``."""
        raise HostError(f"{line[0]} cannot be started on {self._uri.login} in this way")

    def start(self, arguments: Sequence[str], secret: bytes = b"") -> Started:
        """See ``Host``."""
        return FarChild(self._link, tuple(arguments), secret)

    def monitor(self, address: str | tuple[str, int], timeout: float) -> Monitor:
        """See ``Host``; the connection to the far half is made anew if it has been lost."""
        if self._link.lost.is_set():
            self._again()
        connection = CarriedSocket()
        try:
            return _carried(self._link, connection, str(address), timeout)
        except BaseException:
            connection.end()
            connection.close()
            connection.free()
            raise

    def _again(self) -> None:
        if not self._rest.over:
            raise ConnectionAbortedError(0, self._trouble)
        self._end()
        try:
            self._begin()
            self._way.again()
        except RamferryError as error:
            self._rest = Patience(REST_SECONDS)
            self._trouble = str(error)
            raise ConnectionAbortedError(0, str(error)) from error

    def process_of(
        self, host: str | None, peer_pid: int | None, vcpu_threads: Sequence[int]
    ) -> int | None:
        """See ``Host``."""
        del host  # only sockets' paths are reached there
        found = self._link.ask(far.Locate(peer_pid, tuple(vcpu_threads)))
        self._pid = None if found is None else int(found)
        return self._pid

    def domain_process(self, name: str, uuid: str) -> tuple[int, tuple[int, ...]] | None:
        """See ``Host``."""
        with suppress(RamferryError, OSError):
            found: tuple[int, tuple[int, ...]] | None
            found = self._link.ask(far.LocateDomain(name, uuid))
            return found
        return None

    @contextmanager
    def forsaken(self, path: str) -> Iterator[None]:
        """See ``Host``; the far half does it at its own end, whatever that is."""
        self._link.ask(far.Forsake(path))
        yield

    def without_process(self, host: str) -> Host:
        """See ``Host``; perhaps the QEMU is in a container there."""
        del host
        return self

    def process(self, pid: int) -> Process | None:
        """See ``Host``: it is another kernel's."""
        del pid
        return None

    def meter(self, pid: int | None, vcpu_threads: Sequence[int]) -> Meter:
        """See ``Host``."""
        return _FarMeter(self, pid, tuple(vcpu_threads))

    def cpu_seconds(self, pid: int, threads: tuple[int, ...]) -> float | None:
        """See ``CpuMeter.seconds``."""
        with suppress(RamferryError, OSError):
            found = self._link.ask(far.Cpu(pid, threads))
            return None if found is None else float(found)
        return None

    def folder(self, uri: str, process: Process | None, parents: tuple[Path, ...]) -> SharedFolder:
        """See ``Host``; for the QEMU that ``process_of`` found last, in the usual places."""
        del process, parents
        return _FarFolder(self._link, uri, self._pid)

    def meeting(self) -> str:
        """See ``Host``; that data get there is tried out first.

        :raise PeerUnreachable: they do not.
        :raise HostError: no port is free there.
        """
        return self._way.meeting(self._link)

    def reached_at(self, uri: str) -> str:
        """See ``Host``."""
        return self._way.reached_at(uri)

    def way_back(self) -> tuple[str, str]:
        """See ``Host``: through ssh, because a host that is reached need not reach this one.

        :raise PeerUnreachable: its sshd does not forward.
        """
        return self._way.way_back(self._link)

    def reaches(self, uri: str) -> bool:
        """See ``Host``."""
        del uri
        return True

    def may_accelerate(self, policy: str) -> bool:
        """See ``Host``."""
        return bool(self._link.ask(far.Accelerates(policy)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


def _carried(link: FarLink, connection: CarriedSocket, path: str, timeout: float) -> CarriedSocket:
    """Connect the far half to a monitor there, and carry what is said."""

    def take(data: bytes | None, _: int) -> None:
        if data is None:
            connection.end()
        else:
            connection.feed(data)

    stream = link.stream(take)
    pid = link.ask(far.OpenMonitor(stream, path, timeout), timeout + MORE_SECONDS)
    connection.peer_pid = None if pid is None else int(pid)

    def carry() -> None:
        while data := connection.read():
            for at in range(0, len(data), far.PIECE_BYTES):
                link.send(stream, data[at : at + far.PIECE_BYTES])
        link.send(stream, b"")
        link.forget(stream)
        connection.free()

    threading.Thread(target=carry, name="monitor by ssh", daemon=True).start()
    return connection


@dataclass(frozen=True, slots=True)
class _FarMeter:
    """See ``CpuMeter``."""

    host: Ssh
    pid: int | None
    threads: tuple[int, ...]

    def seconds(self) -> float | None:
        """See ``CpuMeter``."""
        return None if self.pid is None else self.host.cpu_seconds(self.pid, self.threads)


class _FarFolder:
    """See ``SharedFolder``; only its path is known here."""

    def __init__(self, link: FarLink, uri: str, pid: int | None) -> None:
        self._link = link
        self.path = Path(os.fsdecode(link.ask(far.MakeFolder(uri, pid))))

    def require(self, *, writes: bool) -> None:
        """See ``Folder``."""
        self._link.ask(far.RequireFolder(str(self.path), writes))

    def hand_over(self) -> None:
        """See ``Folder``."""
        self._link.ask(far.HandOverFolder(str(self.path)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(RamferryError, OSError):  # the far half removes it at its end
            self._link.ask(far.RemoveFolder(str(self.path)))


@contextmanager
def host_at(uri: SshUri | None, settings: SshSettings, here: Host) -> Iterator[Host]:
    """The host of an address by ssh; ``here`` if there is none."""
    if uri is None:
        yield here
        return
    with Ssh(uri, settings) as host:
        yield host
