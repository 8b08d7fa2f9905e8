"""Migration URIs at the monitor."""

from __future__ import annotations

from typing import Final

from ramferry.errors import UsageError
from ramferry.guest.errors import MonitorError
from ramferry.transport.address import Address, parse_address

_ONE_CHANNEL: Final = ("exec", "fd", "file", "rdma")
"""URIs that QEMU refuses while ``multifd`` is on, as it always is here."""


def parse(uri: str) -> Address:
    """Read ``tcp:HOST:PORT`` or ``unix:PATH``; ``tls:HOST:PORT``, where a QEMU has ``tcp:`` and
    ``tls-creds``; or ``relay:`` where the far end is a Ramferry.

    :raise MonitorError: it is none of them; in QEMU's words if QEMU refuses it as well.
    """
    scheme, colon, rest = uri.partition(":")
    if colon and scheme in _ONE_CHANNEL:
        raise MonitorError("Migration requires multi-channel URIs (e.g. tcp)")
    if not colon or scheme not in ("tcp", "unix", "tls", "relay"):
        raise MonitorError(f"unknown migration protocol: {uri}")
    if scheme == "unix" and not rest:
        raise MonitorError("invalid Unix socket address")
    if scheme in ("tcp", "tls") and not (":" in rest and rest.rpartition(":")[2]):
        raise MonitorError(f"error parsing address '{rest}'")
    try:
        return parse_address(uri)
    except UsageError as error:
        raise MonitorError(str(error)) from error
