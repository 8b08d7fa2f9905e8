"""Migration addresses as an orchestrator needs them: which host, which port, seen from where."""

from __future__ import annotations

from dataclasses import replace

from ramferry.errors import UsageError
from ramferry.transport.address import (
    WILDCARDS,
    TcpAddress,
    is_local,
    moved,
    parse_address,
    place_of,
)


def relay_uri(text: str) -> str:
    """The migration URI that ``--via`` names; ``HOST:PORT`` is short for ``tcp:HOST:PORT``.

    :raise UsageError: it is neither an address nor a URI that one can connect to.
    """
    known = text.startswith(("tcp:", "unix:", "tls:", "relay:"))
    address = parse_address(text if known else f"tcp:{text}")
    place = place_of(address)
    if isinstance(place, TcpAddress) and (place.host in WILDCARDS or place.port == 0):
        raise UsageError(f"{text!r} does not say which host and port the relay is at")
    return str(address)


def connectable(uri: str, host: str) -> str:
    """``uri`` as an address to connect to: a wildcard host is replaced by ``host``."""
    address = parse_address(uri)
    place = place_of(address)
    if isinstance(place, TcpAddress) and place.host in WILDCARDS:
        return str(moved(address, replace(place, host=host)))
    return uri


def is_here_only(uri: str) -> bool:
    """True if no other host can reach the address: a socket's path, or the loopback."""
    return is_local(parse_address(uri))


def port_is_open(uri: str) -> bool:
    """True if the address leaves the port to whoever listens (``tcp:HOST:0``)."""
    place = place_of(parse_address(uri))
    return isinstance(place, TcpAddress) and place.port == 0


def with_port_of(uri: str, listening: str) -> str:
    """``uri`` with the port that the listener chose."""
    address, chosen = parse_address(uri), place_of(parse_address(listening))
    place = place_of(address)
    if isinstance(place, TcpAddress) and isinstance(chosen, TcpAddress):
        return str(moved(address, replace(place, port=chosen.port)))
    return uri
