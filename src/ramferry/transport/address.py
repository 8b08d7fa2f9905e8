"""Migration addresses: where a peer is, and who it is.

``tcp:HOST:PORT`` and ``unix:PATH`` are QEMU's own, as is its wire there. ``tls:HOST:PORT`` is the
same inside QEMU's TLS. ``relay:HOST:PORT`` and ``relay:unix:PATH`` say that the far end is a
Ramferry.
"""

from __future__ import annotations

import contextlib
import ipaddress
from dataclasses import dataclass
from typing import Final

from ramferry.errors import UsageError

WILDCARDS: Final = frozenset({"", "0.0.0.0", "::"})
"""Hosts that mean all addresses of this host: to listen at, not to connect to."""

MOST_PORT: Final = 65535

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


Place = TcpAddress | UnixAddress
"""Where a socket is bound or connected."""


@dataclass(frozen=True, slots=True)
class TlsAddress:
    """A QEMU, or what stands for one, behind QEMU's own TLS."""

    place: TcpAddress

    def __str__(self) -> str:
        return f"tls:{str(self.place).removeprefix('tcp:')}"


@dataclass(frozen=True, slots=True)
class RelayAddress:
    """Another Ramferry, which speaks the protocol of ``docs/relay-protocol.md``."""

    place: Place

    def __str__(self) -> str:
        return f"relay:{str(self.place).removeprefix('tcp:')}"


Address = Place | TlsAddress | RelayAddress


def place_of(address: Address) -> Place:
    """Where the sockets of an address are."""
    return address.place if isinstance(address, TlsAddress | RelayAddress) else address


def is_local(address: Address) -> bool:
    """True if no other host can reach it, nor listen to it: a UNIX socket, or the loopback."""
    place = place_of(address)
    return isinstance(place, UnixAddress) or is_local_host(place.host)


def is_local_host(host: str) -> bool:
    """True for ``localhost`` and the addresses of the loopback."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def moved(address: Address, place: Place) -> Address:
    """The same kind of address at another place.

    :raise UsageError: a ``tls:`` address cannot be a UNIX socket.
    """
    if isinstance(address, RelayAddress):
        return RelayAddress(place)
    if isinstance(address, TlsAddress):
        if isinstance(place, UnixAddress):
            raise UsageError(f"tls: is spoken over TCP only, not at {place}")
        return TlsAddress(place)
    return place


def parse_address(uri: str) -> Address:
    """Read a migration URI of any kind.

    :raise UsageError: another scheme, no port, or a path that no socket can have.
    """
    scheme, _, rest = uri.partition(":")
    place: Place | None = None
    if scheme in ("tcp", "tls"):
        place = _tcp(rest, uri)
    elif scheme == "unix":
        place = _unix(rest)
    elif scheme == "relay":
        place = _unix(rest.removeprefix("unix:")) if rest.startswith("unix:") else _tcp(rest, uri)
    if place is None:
        raise UsageError(
            f"{uri!r} is no migration address: write tcp:HOST:PORT, unix:PATH, tls:HOST:PORT, or"
            " relay:HOST:PORT or relay:unix:PATH where the far end is a Ramferry"
        )
    if scheme == "relay":
        return RelayAddress(place)
    return TlsAddress(place) if scheme == "tls" and isinstance(place, TcpAddress) else place


def parse_place(uri: str) -> Place:
    """Read ``tcp:HOST:PORT`` or ``unix:PATH``.

    :raise UsageError: it is another kind of address, or none.
    """
    address = parse_address(uri)
    if isinstance(address, TlsAddress | RelayAddress):
        raise UsageError(f"{uri!r} does not fit here: write tcp:HOST:PORT or unix:PATH")
    return address


def _tcp(rest: str, uri: str) -> TcpAddress | None:
    """:param uri: what ``rest`` is of; for a sentence."""
    host, colon, port = rest.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        return None
    if len(port.lstrip("0")) > len(str(MOST_PORT)) or int(port) > MOST_PORT:
        raise UsageError(
            f"{uri!r} is no migration address: the port must be 1 to {MOST_PORT}, or 0 to have one"
            " chosen"
        )
    return TcpAddress(host.removeprefix("[").removesuffix("]"), int(port))


def _unix(path: str) -> UnixAddress | None:
    if len(path.encode()) > MAX_UNIX_PATH:
        raise UsageError(f"socket path longer than {MAX_UNIX_PATH} bytes: {path}")
    return UnixAddress(path) if path else None
