"""The way of a guest between this process and its QEMU: straight, or by a relay beside a QEMU on
another host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ramferry.control.archive.wish import SaveWish
from ramferry.control.hosts.relay_beside import relay_beside
from ramferry.control.qemu.end import QemuEnd
from ramferry.errors import UsageError
from ramferry.flows.archive.reader import Archive
from ramferry.transport import inherited_credentials, one_time
from ramferry.transport.address import Address, UnixAddress, parse_address, place_of
from ramferry.transport.security import Security


@dataclass(frozen=True, slots=True)
class WayTo:
    """The way to a destination."""

    listens: str
    """Migration URI at which the QEMU listens."""
    method_there: str
    """Its ``multifd-compression``."""
    address: str
    """Migration URI to connect to."""
    method: str
    """What is sent there."""
    framed: bool
    """Whether the file's chunks are sent as they are."""
    security: Security | None = None


@contextmanager
def way_to(archive: Archive, destination: QemuEnd, path: str, channels: int) -> Iterator[WayTo]:
    """The way of a saved guest.

    If the QEMU is on another host, a relay there takes what is sent, encrypted by certificates that
    are made for it. Between relays every page is verified, which takes pages: the file's chunks are
    inflated, and compressed again by their method.

    :param path: of a socket for the QEMU.
    :raise PeerUnreachable: data cannot get there.
    """
    host, listens = destination.party.host, f"unix:{path}"
    if not host.apart:
        framed = archive.framed_for(destination.facts.methods)
        method = archive.directory.method if framed else "none"
        yield WayTo(listens, method, listens, method, framed)
        return
    meeting = host.meeting()
    made = one_time.make()
    in_ssh = isinstance(place_of(parse_address(meeting)), UnixAddress)
    secret = b"" if in_ssh else inherited_credentials.text(made.listens)
    options = ("--method", "none", "--channels", str(channels))
    with relay_beside(host, (meeting, listens), options, secret) as there:
        security = None if in_ssh else Security(made.connects, name=one_time.NAME)
        yield WayTo(
            listens, "none", host.reached_at(there), archive.directory.method, False, security
        )


@contextmanager
def way_from(source: QemuEnd, wish: SaveWish, path: str) -> Iterator[Address]:
    """The way of a guest that is saved: yields where a receiver is to listen for it. The QEMU
    connects to the socket at ``path``.

    If the QEMU is on another host, a relay there compresses by the file's method, and its data come
    through ssh.

    :raise PeerUnreachable: its sshd does not forward.
    """
    if not source.party.host.apart:
        yield UnixAddress(path)
        return
    here, there = source.party.host.way_back()
    options = ["--method", wish.method, "--channels", str(wish.channels)]
    options += [] if wish.level is None else ["--level", str(wish.level)]
    with relay_beside(source.party.host, (f"unix:{path}", there), options, b""):
        yield parse_address(here)


def refuse_apart(source: QemuEnd, wish: SaveWish) -> None:
    """Refuse what takes a process beside the QEMU.

    :raise UsageError: that was asked for, and the QEMU is on another host.
    """
    if not source.party.host.apart:
        return
    given = {
        "--stop": wish.stop,
        "--stop-after": wish.stop_after,
        "--disk-snapshot": wish.disk_snapshot,
        "--resume, of a guest that stands still,": (
            wish.resume and source.facts.run_state != "running"
        ),
    }
    for option in (name for name, is_given in given.items() if is_given):
        raise UsageError(
            f"{option} takes a process beside the QEMU, and {source.party.uri} is on another host:"
            " save it there"
        )
