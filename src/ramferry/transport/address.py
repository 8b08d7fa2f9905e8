"""Migration addresses in QEMU's syntax: ``tcp:HOST:PORT`` and ``unix:PATH``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ramferry.errors import UsageError

WILDCARDS: Final = frozenset({"", "0.0.0.0", "::"})
"""Hosts that mean all addresses of this host: to listen at, not to connect to."""

MAX_UNIX_PATH: Final = 107
"""``sun_path`` holds 108 bytes with its final NUL (unix(7))."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP endpoint; ``port`` 0 lets a listener choose."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp:{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A UNIX stream socket's path."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


def parse_address(uri: str) -> Address:
    """Read a migration URI.

    :raise UsageError: another scheme, no port, or a path that no socket can have.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "unix" and rest:
        if len(rest.encode()) > MAX_UNIX_PATH:
            raise UsageError(f"socket path longer than {MAX_UNIX_PATH} bytes: {rest}")
        return UnixAddress(rest)
    host, _, port = rest.rpartition(":")
    if scheme == "tcp" and port.isascii() and port.isdigit() and int(port) <= 65535:
        return TcpAddress(host.removeprefix("[").removesuffix("]"), int(port))
    raise UsageError(f"{uri!r} is no migration address: write tcp:HOST:PORT or unix:PATH")
