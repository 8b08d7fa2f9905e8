"""Listens at an address as QEMU does: at all addresses of a name; and at no path that is in use."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

from ramferry.errors import HostError
from ramferry.transport import sockets
from ramferry.transport.address import Address, TcpAddress, UnixAddress, moved, place_of
from ramferry.transport.connection import Connection
from ramferry.transport.hall import Hall
from ramferry.transport.plain import Plain
from ramferry.transport.security import IN_THIS_HOST, Security

_LISTENING: Final = "00010000"
"""The flags of a listening socket in /proc/self/net/unix, which ProcSubset=pid leaves there."""
_NOT_HERE: Final = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
"""Errors of a host that lacks IPv6, or one of the addresses of a name."""
_PORT_TRIES: Final = 16
"""Tries to find a free port: one that the kernel chose for IPv4 may be in use for IPv6, or the
reverse."""
_OF_ONE: Final = {
    errno.ECONNABORTED,
    errno.EPROTO,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENONET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
    errno.EPERM,
}
"""Errors of accept(2) that concern one connection, which is gone then; all others are a lack of
descriptors or memory."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A connection that somebody made to a listener."""

    connection: Connection
    origin: str
    """Who made it: the peer's host, or the process behind a UNIX socket."""
    holds: bool = False
    """Whether it may hold bytes of which its descriptor does not tell."""


class Listener:
    """Listens at one address by non-blocking sockets: one for each address that a TCP name stands
    for.

    A stale UNIX socket, on which nobody listens, is replaced; a live one, or a file that is not a
    socket, is left alone. Where connections are encrypted, they are handed out once TLS's handshake
    is done, in that order; handshakes run in threads of their own.
    """

    def __init__(
        self,
        address: Address,
        backlog: int = 256,
        *,
        security: Security | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Listen.

        :param security: None: without credentials, in this host only.
        :param note: told a sentence for each connection that fails TLS's handshake; called in
            threads of this object.
        :raise UsageError: the policy does not allow it; see ``Security.check_listen``.
        :raise HostError: the address is in use, or this process may not use it.
        """
        security = security or IN_THIS_HOST
        security.check_listen(address)
        context = security.server(address) if security.encrypts(address) else None
        self._hall: Hall | None = None
        self._path = ""
        self._file: os.stat_result | None = None
        try:
            place = place_of(address)
            if isinstance(place, UnixAddress):
                self.sockets = [self._bind_unix(place.path, backlog)]
            else:
                self.sockets = _tcp(place, backlog)
        except OSError as error:
            raise HostError(f"cannot listen on {address}: {sockets.reason(error)}") from error
        self.address = _told(address, self.sockets)
        """Where it listens, with the port that it was given."""
        if context is not None:
            self._hall = Hall(self.sockets, self._accept, context, security.allows, note)

    def filenos(self) -> list[int]:
        """The descriptors that are readable while a connection waits to be accepted."""
        return [self._hall.fd] if self._hall else [sock.fileno() for sock in self.sockets]

    def accept(self) -> Accepted | None:
        """The next connection that waits, not settled yet; None if none waits.

        A connection that was gone before it could be accepted is passed over.

        :raise OSError: this process, or the host, lacks descriptors or memory.
        """
        if self._hall is not None:
            done = self._hall.take()
            return Accepted(*done) if done else None
        accepted = self._accept()
        return Accepted(Plain(accepted[0]), accepted[1]) if accepted else None

    def _accept(self) -> tuple[socket.socket, str] | None:
        for listening in self.sockets:
            while True:
                try:
                    sock, peer = listening.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in _OF_ONE:
                        continue
                    raise
                sock.setblocking(False)
                return sock, _origin(sock, peer)
        return None

    def renew(self, security: Security) -> None:
        """Use other credentials for connections that come from now on; safe from any thread.

        :raise UsageError: they lack a certificate, or OpenSSL cannot use one; nothing has changed.
        """
        if self._hall is not None:
            self._hall.context = security.server(self.address)

    def close(self) -> None:
        """Stop listening, and remove the UNIX socket's path if it is still this listener's.

        The path goes first: once nobody listens, another process may take it at any moment.
        """
        if self._file is not None:
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(self._path), self._file):
                    os.unlink(self._path)
        if self._hall is not None:
            self._hall.close()
        for sock in self.sockets:
            sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _bind_unix(self, path: str, backlog: int) -> socket.socket:
        if _is_stale(path):
            os.unlink(path)
        sock = socket.socket(socket.AF_UNIX)
        with sockets.closing_on_error(sock):
            sock.bind(path)
            self._path, self._file = path, os.stat(path)
            _begin(sock, backlog)
        return sock


def check_free(address: Address) -> None:
    """Check that a process which will listen at ``address``, an absolute path, replaces nothing
    there.

    :raise HostError: there is a file that is not a socket, or somebody listens.
    """
    place = place_of(address)
    if not isinstance(place, UnixAddress) or not os.path.isabs(place.path):
        return
    try:
        _is_stale(place.path)
    except PermissionError:
        return  # not ours to look at: perhaps the other process may
    except OSError as error:
        raise HostError(f"cannot listen on {address}: {sockets.reason(error)}") from error


def _begin(sock: socket.socket, backlog: int) -> None:
    sock.listen(backlog)
    sock.setblocking(False)


def _origin(sock: socket.socket, peer: Any) -> str:
    if sock.family != socket.AF_UNIX:
        return str(peer[0])
    pid, _, _ = struct.unpack(
        "@iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("@iII"))
    )
    return f"process {pid}"


def _told(address: Address, listening: list[socket.socket]) -> Address:
    name, place = listening[0].getsockname(), place_of(address)
    if isinstance(place, UnixAddress):
        return moved(address, UnixAddress(name))
    host = place.host if len(listening) > 1 else name[0]
    return moved(address, TcpAddress(host, name[1]))


# --- TCP


def _tcp(address: TcpAddress, backlog: int) -> list[socket.socket]:
    found = socket.getaddrinfo(
        address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    answers: list[tuple[int, Any]] = list(
        dict.fromkeys((family, place) for family, _, _, _, place in found)
    )
    for left in reversed(range(_PORT_TRIES)):
        try:
            return _bound(answers, address.port, backlog)
        except OSError as error:
            if address.port or error.errno != errno.EADDRINUSE or not left:
                raise
    raise AssertionError


def _bound(answers: list[tuple[int, Any]], port: int, backlog: int) -> list[socket.socket]:
    """A listening socket for each of the addresses that this host has, all at one port."""
    mixed = len({family for family, _ in answers}) > 1
    bound: list[socket.socket] = []
    absent: OSError | None = None
    with contextlib.ExitStack() as stack:
        for family, place in answers:
            try:
                sock = _bound_to(family, (place[0], port, *place[2:]), mixed)
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                absent = error
                continue
            stack.callback(sock.close)
            _begin(sock, backlog)
            port = sock.getsockname()[1]
            bound.append(sock)
        if not bound and absent is not None:
            raise absent
        stack.pop_all()
    return bound


def _bound_to(family: int, place: Any, mixed: bool) -> socket.socket:
    sock = socket.socket(family)
    with sockets.closing_on_error(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # alone, "::" takes IPv4 as well, which beside "0.0.0.0" would be in use
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, mixed)
        sock.bind(place)
    return sock


# --- UNIX


def _is_stale(path: str) -> bool:
    """True for a socket on which nobody listens, False if there is nothing; else raises an
    OSError."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "the path exists and is not a socket")
    # ask the kernel first: a connection that closes at once ends a QEMU that waits for its guest
    if not _listed_as_listening(path):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                return True
    raise OSError(errno.EADDRINUSE, "another process listens there")


def _listed_as_listening(path: str) -> bool:
    """True if a process of this network namespace listens at ``path``, by an absolute name."""
    with (
        contextlib.suppress(OSError),
        open("/proc/self/net/unix", errors="surrogateescape") as table,
    ):
        for line in table:
            fields = line.rstrip("\n").split(" ", 7)
            if len(fields) == 8 and fields[3] == _LISTENING and fields[7].startswith("/"):
                with contextlib.suppress(OSError):
                    if os.path.samefile(fields[7], path):
                        return True
    return False
