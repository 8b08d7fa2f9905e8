"""The sockets of a probe of a link: datagrams that ask first, and connections that are then filled.

``control.link`` decides what is asked and answered.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from ramferry.errors import HostError
from ramferry.transport.address import TcpAddress
from ramferry.transport.listening import Listener
from ramferry.transport.security import WITHOUT_MEMORY
from ramferry.transport.sockets import closing_on_error
from ramferry.transport.throughput import SILENCE_SECONDS, Flow, drain, pour

_CHOICES = 8
"""How often the system is asked for a port: the number that is free by TCP may be taken by UDP."""


class Place(NamedTuple):
    """One of the addresses that a host's name stands for."""

    family: int
    socket_address: tuple[Any, ...]


def places_of(address: TcpAddress) -> list[Place]:
    """All addresses that a name stands for.

    :raise OSError: the name stands for none.
    """
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
    return [Place(family, place) for family, _, _, _, place in found]


def ask(place: Place, question: bytes, most: int, seconds: float) -> bytes:
    """Send one datagram to ``place``, and return the first that comes back from there.

    :param most: most bytes of the answer.
    :raise OSError: none came in time.
    """
    with socket.socket(place.family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(seconds)
        sock.connect(place.socket_address)
        sock.send(question)
        return sock.recv(most)


class ProbeConnection:
    """One TCP connection of a probe; a context manager that closes it.

    A peer that moves nothing for ``SILENCE_SECONDS`` is given up with an OSError.
    """

    def __init__(self, sock: socket.socket) -> None:
        """:param sock: connected; from now on this object owns it."""
        sock.settimeout(SILENCE_SECONDS)
        self.sock = sock

    @classmethod
    def to(cls, place: Place) -> Self:
        """Connect.

        :raise OSError: nobody accepts there.
        """
        return cls(socket.create_connection(place.socket_address[:2], SILENCE_SECONDS))

    @property
    def near(self) -> str:
        """This end's IP address."""
        return _host_of(self.sock.getsockname())

    @property
    def far(self) -> str:
        """The other end's IP address."""
        return _host_of(self.sock.getpeername())

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def receive(self, size: int) -> bytes:
        """Receive ``size`` bytes; fewer only at the end of the stream."""
        return self.sock.recv(size, socket.MSG_WAITALL)

    def receive_rest(self, most: int) -> bytes:
        """Receive until the other end closes; stops after about ``most`` bytes."""
        came = b""
        while len(came) < most and (got := self.sock.recv(most)):
            came += got
        return came

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()


def fill(connections: Sequence[ProbeConnection]) -> None:
    """Send through all connections; see ``throughput.pour``."""
    pour([connection.sock for connection in connections])


def count(connections: Sequence[ProbeConnection]) -> Flow:
    """Receive from all connections, and count; see ``throughput.drain``.

    :raise ConnectionError: nothing came.
    """
    return drain([connection.sock for connection in connections])


@dataclass(frozen=True, slots=True)
class Question:
    """A datagram that came, which can be answered."""

    data: bytes
    _datagrams: socket.socket
    _from: Any

    def answer(self, data: bytes) -> None:
        """Send a datagram back.

        :raise OSError: it cannot be sent.
        """
        self._datagrams.sendto(data, self._from)


class ProbeListener:
    """Listens at one address by TCP and by UDP; a context manager that ends that."""

    def __init__(self, address: TcpAddress, backlog: int) -> None:
        """
        :param address: port 0 lets the system choose.
        :raise HostError: the address is in use, or not one of this host.
        """
        choices = 1 if address.port else _CHOICES
        while not self._listens(address, backlog, last=choices == 1):
            choices -= 1
        self.address = self._listener.address
        """Where it listens, with the port that the system chose."""
        self._listeners = frozenset(self._listener.sockets)

    def _listens(self, address: TcpAddress, backlog: int, *, last: bool) -> bool:
        """Listen by TCP and by UDP at the same port; say if UDP's is another's and not the ``last``
        choice."""
        self._listener = Listener(address, backlog, security=WITHOUT_MEMORY)
        self._datagrams: list[socket.socket] = []
        try:
            for listening in self._listener.sockets:
                self._datagrams.append(_beside(listening))
        except OSError as error:
            self.__exit__(None, None, None)
            if error.errno == errno.EADDRINUSE and not last:
                return False
            where = self._listener.address
            raise HostError(f"cannot listen on {where} by UDP: {error.strerror}") from error
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in self._datagrams:
            sock.close()
        self._listener.close()

    def wait(self, most: int, seconds: float) -> tuple[list[Question], bool]:
        """Wait up to ``seconds``; return the datagrams that came, and whether there is a connection
        to accept.

        :param most: most bytes of each datagram.
        """
        ready = select.select([*self._listener.sockets, *self._datagrams], [], [], seconds)[0]
        questions = []
        for sock in set(ready) & set(self._datagrams):
            with suppress(OSError):
                data, sender = sock.recvfrom(most)
                questions.append(Question(data, sock, sender))
        return questions, not self._listeners.isdisjoint(ready)

    def accept(self) -> ProbeConnection:
        """The next connection.

        :raise OSError: none came within ``SILENCE_SECONDS``.
        """
        ready = select.select(self._listener.sockets, [], [], SILENCE_SECONDS)[0]
        if not ready:
            raise ConnectionError("no further connection came")
        return ProbeConnection(ready[0].accept()[0])


def _beside(listening: socket.socket) -> socket.socket:
    """A UDP socket at the address and port of a listening TCP one."""
    sock = socket.socket(listening.family, socket.SOCK_DGRAM)
    with closing_on_error(sock):
        sock.setblocking(False)
        if listening.family == socket.AF_INET6:
            only = listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        sock.bind(listening.getsockname())
    return sock


def _host_of(name: tuple[Any, ...]) -> str:
    """The IP address without the port; an IPv4 address that is mapped into IPv6, as IPv4."""
    return str(name[0]).removeprefix("::ffff:")
