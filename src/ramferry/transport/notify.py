"""What a service tells the manager that started it: sd_notify(3), by a datagram.

systemd names a UNIX socket in ``NOTIFY_SOCKET``, and in ``WATCHDOG_USEC`` how often it wants to
hear that the service is alive.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

from ramferry import standard

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
ALIVE: Final = "WATCHDOG=1"
_ABSTRACT: Final = "@"
"""How an address in Linux' abstract namespace begins in ``NOTIFY_SOCKET``; the kernel has a NUL."""


class Notifier:
    """Tells the manager, if there is one; a manager that does not listen holds nobody up."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """:param environ: this process's environment."""
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._socket: socket.socket | None = None
        if self._address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        self.watchdog = _watchdog(environ) if self._socket is not None else 0.0
        """Seconds within which the manager wants to hear ``ALIVE``; 0: it does not watch."""

    @property
    def listens(self) -> bool:
        """Whether there is a manager to be told."""
        return self._socket is not None

    def tell(self, *lines: str) -> None:
        """Send assignments (``READY=1``) in one datagram. One that cannot be sent is lost: the next
        one says the same."""
        if self._socket is None or self._address is None:
            return
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(map(standard.shown, lines)).encode(), self._address)

    def reloading(self) -> None:
        """Tell that a reload has begun; ``READY`` ends it."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.tell("RELOADING=1", f"MONOTONIC_USEC={now}")

    def close(self) -> None:
        """Free the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _address(name: str) -> str | None:
    """A socket's address from its name; None for none, or for one of a kind that is not known
    here."""
    if name.startswith(_ABSTRACT):
        return "\0" + name.removeprefix(_ABSTRACT)
    return name if name.startswith("/") else None


def _watchdog(environ: Mapping[str, str]) -> float:
    """sd_watchdog_enabled(3): seconds; 0 where another process is meant."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdecimal() else 0.0
