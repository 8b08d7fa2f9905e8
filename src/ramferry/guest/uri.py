"""Migration URIs at the monitor."""

from __future__ import annotations

from ramferry.errors import UsageError
from ramferry.guest.errors import MonitorError
from ramferry.transport.address import Address, parse_address


def parse(uri: str) -> Address:
    """``tcp:HOST:PORT`` or ``unix:PATH``.

    :raise MonitorError: it is neither.
    """
    if uri.partition(":")[0] not in ("tcp", "unix"):
        raise MonitorError(f"unknown migration protocol: {uri}")
    try:
        return parse_address(uri)
    except UsageError as error:
        raise MonitorError(str(error)) from error
