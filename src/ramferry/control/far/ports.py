"""Finds a free port, and sees whether the near half can connect to it, before a relay listens
there."""

from __future__ import annotations

import errno
import secrets
import threading
from typing import Final

from ramferry.control.hosts import far_protocol as far
from ramferry.errors import HostError
from ramferry.patience import Patience
from ramferry.transport.address import TcpAddress, UnixAddress, place_of
from ramferry.transport.listening import Listener
from ramferry.transport.security import WITHOUT_MEMORY

_LOOK: Final = 0.05
_WAIT: Final = 1.0
"""How long a connection may take to come here after it was made: half a round trip."""
_MOST_CALLERS: Final = 16
_MOST_PORTS: Final = 1024
"""As many ports of a range are tried, from its first on."""


class Meeting:
    """A port at which one connection, which begins with a token, is awaited."""

    def __init__(self, wish: far.Meet) -> None:
        """Listen.

        :raise HostError: no port is free.
        """
        self._token = wish.token.encode()
        self._listener = Listener(UnixAddress(wish.path)) if wish.path else _listen(wish)
        place = place_of(self._listener.address)
        self.where = (place.host, place.port) if isinstance(place, TcpAddress) else (place.path, 0)
        """The host to listen at, and the port; or the path, and 0."""

    def met(self) -> bool:
        """Whether it has come, within a moment; a stranger's connection is closed."""
        patience = Patience(_WAIT)
        for _ in range(_MOST_CALLERS):
            while (found := self._listener.accept()) is None:
                if patience.over:
                    return False
                threading.Event().wait(_LOOK)
            come = memoryview(bytearray(len(self._token)))
            try:
                found.connection.settle(_WAIT)
                found.connection.receive(come)
            except (OSError, HostError):
                continue
            finally:
                found.connection.close()
            if secrets.compare_digest(come, self._token):
                return True
        return False

    def close(self) -> None:
        """Free the port."""
        self._listener.close()


def _listen(wish: far.Meet) -> Listener:
    last = max(wish.first, wish.last)
    problem: HostError | None = None
    for port in range(wish.first, min(last, wish.first + _MOST_PORTS) + 1):
        # what other hosts call this one's address may be another's, that of a gateway
        for host in (wish.host, ""):
            try:
                return Listener(TcpAddress(host, port), security=WITHOUT_MEMORY)
            except HostError as error:
                problem = problem or error
                if not _is_elsewhere(error):
                    break
    if wish.first == last:
        raise problem or HostError("no port is free")
    raise HostError(
        f"none of the ports {wish.first} to {last} of --port-range is free there ({problem})"
    )


def _is_elsewhere(error: HostError) -> bool:
    """Whether the address is none of this host's."""
    return getattr(error.__cause__, "errno", 0) == errno.EADDRNOTAVAIL
