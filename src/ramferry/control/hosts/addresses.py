"""Migration addresses as an orchestrator needs them: which host, which port, seen from where."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ramferry.errors import UsageError
from ramferry.transport.address import WILDCARDS, TcpAddress, UnixAddress, parse_address

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def relay_uri(text: str) -> str:
    """The migration URI that ``--via`` names; ``HOST:PORT`` is short for ``tcp:HOST:PORT``.

    :raise UsageError: it is neither an address nor a URI that one can connect to.
    """
    uri = text if text.startswith(("tcp:", "unix:")) else f"tcp:{text}"
    address = parse_address(uri)
    if isinstance(address, TcpAddress) and (address.host in WILDCARDS or address.port == 0):
        raise UsageError(f"{text!r} does not say which host and port the relay is at")
    return str(address)


def connectable(uri: str, host: str) -> str:
    """``uri`` as an address to connect to: a wildcard host is replaced by ``host``."""
    address = parse_address(uri)
    if isinstance(address, TcpAddress) and address.host in WILDCARDS:
        return str(replace(address, host=host))
    return uri


def is_here_only(uri: str) -> bool:
    """True if no other host can reach the address: a socket's path, or the loopback."""
    address = parse_address(uri)
    return isinstance(address, UnixAddress) or address.host in LOOPBACK


def port_is_open(uri: str) -> bool:
    """True if the address leaves the port to whoever listens (``tcp:HOST:0``)."""
    address = parse_address(uri)
    return isinstance(address, TcpAddress) and address.port == 0


def with_port_of(uri: str, listening: str) -> str:
    """``uri`` with the port that the listener chose."""
    address, chosen = parse_address(uri), parse_address(listening)
    if isinstance(address, TcpAddress) and isinstance(chosen, TcpAddress):
        return str(replace(address, port=chosen.port))
    return uri
