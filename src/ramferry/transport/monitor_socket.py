"""Sockets of monitors: a connection to a QEMU's, and a server with a thread for each client."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

from ramferry.patience import Patience
from ramferry.transport import sockets
from ramferry.transport.address import Address
from ramferry.transport.listening import Listener
from ramferry.transport.security import IN_THIS_HOST, WITHOUT_MEMORY, Security

QUEUE_POLL_SECONDS: Final = 0.05
"""Seconds between two tries to connect while the queue is full: the kernel does not tell when there
is room."""

_CLIENT_SECONDS: Final = struct.pack("ll", 5, 0)
"""How long a client may take to receive (5 s): events are sent by threads that have other work."""

_PIECE: Final = 65536
_JOIN_SECONDS: Final = 5.0


class MonitorSocket:
    """A connection to a monitor, for a protocol library that takes sockets."""

    def __init__(self, address: str | tuple[str, int], timeout: float) -> None:
        """Connect. If the queue of connections to be accepted, which holds two, is full, wait.

        :param address: a UNIX socket's path, or host and port.
        :param timeout: seconds.
        :raise BlockingIOError: the queue stayed full.
        :raise OSError: nobody listens there.
        """
        if isinstance(address, tuple):
            self.raw = socket.create_connection(address, timeout)
        else:
            self.raw = socket.socket(socket.AF_UNIX)
            with sockets.closing_on_error(self.raw):
                self.raw.settimeout(timeout)
                self._connect(address, timeout)
        self.raw.setblocking(False)

    def _connect(self, path: str, timeout: float) -> None:
        patience = Patience(timeout)
        while True:
            try:
                return self.raw.connect(path)
            except BlockingIOError:
                if patience.over:
                    raise
                time.sleep(QUEUE_POLL_SECONDS)

    @property
    def peer_pid(self) -> int | None:
        """The process that listens at the far end of a UNIX socket (struct ucred's pid); None over
        TCP, or if the kernel cannot name it (another PID namespace)."""
        if self.raw.family != socket.AF_UNIX:
            return None
        credentials = self.raw.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return struct.unpack("3i", credentials)[0] or None

    def close(self) -> None:
        """End the connection."""
        self.raw.close()


class MonitorClient:
    """One connection that a ``MonitorServer`` accepted."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def receive(self) -> bytes:
        """Wait for bytes and return them; empty at the end.

        :raise OSError: the connection broke.
        """
        return self._sock.recv(_PIECE)

    def send(self, data: bytes) -> None:
        """Send all of it.

        :raise OSError: the client has gone, or does not receive.
        """
        self._sock.sendall(data)


class MonitorServer:
    """Serves each client in a thread of its own, until it is closed."""

    def __init__(
        self,
        address: Address,
        serve: Callable[[MonitorClient], None],
        security: Security = IN_THIS_HOST,
    ) -> None:
        """Listen.

        :param serve: called in each client's thread. The connection ends when it returns, or when
            it raises OSError, which means that the client has gone.
        :raise UsageError: the policy does not allow it; see ``Security.check_monitor``.
        :raise HostError: the address is in use, or this process may not use it.
        """
        self._serve_client = serve
        security.check_monitor(address)
        self._listener = Listener(address, security=WITHOUT_MEMORY)
        self.address = self._listener.address
        """Where it listens, with the port that it was given."""
        self._clients: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        for sock in self._listener.sockets:
            sock.setblocking(True)
            self._start(self._accept, sock)

    def close(self) -> None:
        """Stop listening, and end every connection once what was asked on it is answered."""
        for listening in self._listener.sockets:
            sockets.cut(listening)
        for sock in list(self._clients):
            with suppress(OSError):  # its client has gone
                sock.shutdown(socket.SHUT_RD)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN_SECONDS)
        for sock in list(self._clients):
            sockets.cut(sock)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _start(self, run: Callable[[socket.socket], None], sock: socket.socket) -> None:
        thread = threading.Thread(target=run, args=(sock,), name="monitor", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return  # closed
            sock.setblocking(True)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _CLIENT_SECONDS)
            self._clients.add(sock)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        try:
            with suppress(OSError):  # it went away; what it had asked for is done
                self._serve_client(MonitorClient(sock))
        finally:
            self._clients.discard(sock)
            sock.close()
