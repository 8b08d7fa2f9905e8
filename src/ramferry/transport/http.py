"""Answers HTTP by a WSGI application, in a thread of its own, and one asker at a time.

Whoever reaches the address may ask, so no number of askers takes more than one thread and one
connection of this process: the others wait in the kernel's queue, and one that is slow is dropped.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import BaseServer
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler

from ramferry.patience import Patience
from ramferry.transport.address import Place, TcpAddress, UnixAddress
from ramferry.transport.listening import Listener
from ramferry.transport.security import WITHOUT_MEMORY

SECONDS: Final = 3.0
"""For which an asker may take to ask, and as long again to take the answer."""
_QUEUE: Final = 16
_JOIN: Final = 1.0


class HttpServer:
    """Serves an application at an address until it is closed."""

    def __init__(self, address: Place, app: Callable[..., Iterable[bytes]], name: str) -> None:
        """Listen, and begin to answer.

        :param app: a WSGI application, which is called in this object's thread.
        :param name: the thread's.
        :raise HostError: the address is in use, or this process may not use it.
        """
        self._app = app
        self._listener = Listener(address, _QUEUE, security=WITHOUT_MEMORY)
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def address(self) -> Place:
        """Where it listens, with the port that it was given."""
        address = self._listener.address
        assert isinstance(address, TcpAddress | UnixAddress)
        return address

    def close(self) -> None:
        """Stop listening; an answer under way is waited for, for a moment."""
        os.close(self._end)
        self._thread.join(_JOIN)
        self._listener.close()

    # --- in its thread

    def _run(self) -> None:
        poll = select.poll()
        listening = {one.fileno(): one for one in self._listener.sockets}
        for fd in (*listening, self._ended):
            poll.register(fd, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if self._ended in ready:
                os.close(self._ended)
                return
            for fd in ready:
                self._accept(listening[fd])

    def _accept(self, listening: socket.socket) -> None:
        try:
            asker, _ = listening.accept()
        except OSError:  # it has gone again, or there is no descriptor for it
            self._pause()
            return
        with asker, contextlib.suppress(OSError):  # nobody waits for an answer any more
            _Answer(asker, self._app)

    def _pause(self) -> None:
        """Wait a moment, since the listener stays readable while there are no descriptors."""
        select.select([self._ended], [], [], 0.1)


class _Asked(BaseServer):
    """What ``WSGIRequestHandler`` wants of a server; it listens nowhere."""

    base_environ: Final[dict[str, Any]] = {"SCRIPT_NAME": "", "SERVER_NAME": "ramferry"}

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def get_app(self) -> Callable[..., Iterable[bytes]]:
        """See ``WSGIServer``."""
        return self._app


class _Answer(WSGIRequestHandler):
    """Reads one request and answers it."""

    def __init__(self, asker: socket.socket, app: Callable[..., Iterable[bytes]]) -> None:
        super().__init__(asker, ("asker", 0), _Asked(app))

    def setup(self) -> None:
        """Read and write within so many seconds in all, not between two bytes only."""
        super().setup()
        self.connection.settimeout(SECONDS)
        self.rfile.close()
        self.rfile = io.BufferedReader(_Timely(self.connection))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of requests: they come every few seconds."""
        del format, args


class _Timely(io.RawIOBase):
    """Reads from a socket until its time is over."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._patience = Patience(SECONDS)

    def readable(self) -> bool:
        """See ``io.RawIOBase``."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See ``io.RawIOBase``.

        :raise TimeoutError: its time is over.
        """
        if not select.select([self._sock], [], [], self._patience.left)[0]:
            raise TimeoutError
        return self._sock.recv_into(buffer)
