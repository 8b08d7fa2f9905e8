"""The far end of a probe of the link: waits for one, takes what it sends, and says what came.

Only who has asked by UDP, and was answered, is listened to; ``control.link_probe`` says why.
"""

from __future__ import annotations

import json
import select
import socket
import threading
from contextlib import ExitStack, suppress
from typing import Final, Self

from ramferry.control.link.near import (
    ANSWERS,
    GO,
    HEADER_SIZE,
    MOST_CONNECTIONS,
    Header,
    host_of,
    parse_header,
)
from ramferry.errors import Cancelled, HostError, PeerUnreachable
from ramferry.patience import Patience
from ramferry.transport.address import TcpAddress
from ramferry.transport.listening import Listener
from ramferry.transport.sockets import closing_on_error
from ramferry.transport.throughput import SILENCE_SECONDS, Flow, drain

_POLL: Final = 0.2


class LinkAnswer:
    """A context manager: listens, by TCP and UDP at one port, while it is entered."""

    def __init__(self, address: TcpAddress) -> None:
        """
        :param address: port 0 lets the system choose.
        :raise HostError: it is in use, or not ours.
        """
        self._listener = Listener(address, MOST_CONNECTIONS + 1)
        self.address = self._listener.address
        """With the port that was given."""
        self._datagrams: list[socket.socket] = []
        try:
            for listening in self._listener.sockets:
                self._datagrams.append(_beside(listening))
        except OSError as error:
            self.__exit__(None, None, None)
            raise HostError(f"cannot listen on {self.address} by UDP: {error.strerror}") from error
        self._asked: Header | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in self._datagrams:
            sock.close()
        self._listener.close()

    def wait(self, seconds: float, stop: threading.Event) -> tuple[str, Flow]:
        """Wait for a probe and serve it: the address that sent it, and what came.

        :raise Cancelled: ``stop`` was set.
        :raise PeerUnreachable: none came in so many seconds, or it went away in the middle.
        """
        patience = Patience(seconds, longest_step=SILENCE_SECONDS)
        while not patience.over:
            if stop.is_set():
                raise Cancelled("ended before a probe came")
            awaited = [*self._listener.sockets, *self._datagrams]
            ready, _, _ = select.select(awaited, [], [], _POLL)
            for sock in ready:
                if sock in self._datagrams:
                    self._greet(sock)
                elif served := self._serve():
                    return served
        raise PeerUnreachable(f"no probe came within {seconds:g} s")

    def _greet(self, datagrams: socket.socket) -> None:
        """Answer a near end's datagram, and know its number from then on."""
        with suppress(OSError):
            datagram, place = datagrams.recvfrom(HEADER_SIZE + 1)
            if header := parse_header(datagram):
                self._asked = header
                datagrams.sendto(header._replace(magic=ANSWERS).packed(), place)

    def _serve(self) -> tuple[str, Flow] | None:
        """Serve one probe; None where what connected is none that was answered."""
        with ExitStack() as stack:
            try:
                talk, header = self._arrival(stack)
            except OSError:
                return None
            if self._asked is None or header != self._asked:
                return None
            near = host_of(talk.getpeername())
            try:
                flow = self._taken(stack, talk, header)
            except OSError as error:
                raise PeerUnreachable(f"the probe from {near} broke off: {error}") from error
            return near, flow

    def _taken(self, stack: ExitStack, talk: socket.socket, header: Header) -> Flow:
        filled: list[socket.socket] = []
        while len(filled) < min(max(header.filled, 1), MOST_CONNECTIONS):
            sock, other = self._arrival(stack)
            if other.nonce == header.nonce and other.number:
                filled.append(sock)
        talk.sendall(GO)
        flow = drain(filled)
        said = {"rate": flow.rate, "bytes": flow.all_bytes, "host": socket.gethostname()}
        talk.sendall(json.dumps(said).encode())
        return flow

    def _arrival(self, stack: ExitStack) -> tuple[socket.socket, Header]:
        """The next connection, and what it begins with.

        :raise OSError: none came in time, or it is none of a near end.
        """
        ready = select.select(self._listener.sockets, [], [], SILENCE_SECONDS)[0]
        if not ready:
            raise ConnectionError("no further connection came")
        sock = stack.enter_context(ready[0].accept()[0])
        sock.settimeout(SILENCE_SECONDS)
        header = parse_header(sock.recv(HEADER_SIZE, socket.MSG_WAITALL))
        if header is None:
            raise ConnectionError("a connection that is no probe came")
        return sock, header


def _beside(listening: socket.socket) -> socket.socket:
    """A socket for datagrams at the place of a listening one."""
    sock = socket.socket(listening.family, socket.SOCK_DGRAM)
    with closing_on_error(sock):
        sock.setblocking(False)
        if listening.family == socket.AF_INET6:
            only = listening.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        sock.bind(listening.getsockname())
    return sock
