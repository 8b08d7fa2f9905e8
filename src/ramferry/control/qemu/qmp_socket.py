"""Connecting to a QMP server before anything is said, and the errors if that fails."""

from __future__ import annotations

from ramferry.control.hosts.contract import Host, Monitor
from ramferry.control.hosts.host import HERE
from ramferry.control.qemu.uri import monitor_address
from ramferry.errors import PeerUnreachable


def connect_to_monitor(uri: str, timeout: float, host: Host = HERE) -> Monitor:
    """Connect within ``timeout`` seconds; the caller owns the connection.

    :param host: where the QEMU runs.
    :raise UsageError: ``uri`` is malformed.
    :raise PeerUnreachable: nobody listens there, or the monitor has another client.
    """
    address = monitor_address(uri)
    try:
        return host.monitor(address, timeout)
    except BlockingIOError:
        raise not_greeted(uri, timeout) from None
    except OSError as error:
        raise PeerUnreachable(f"no QEMU answers at {uri}: {error.strerror or error}") from error


def not_greeted(uri: str, seconds: float) -> PeerUnreachable:
    """The error of a silent monitor. A monitor that another client uses accepts two more
    connections without a greeting."""
    return PeerUnreachable(
        f"{uri} sends no QMP greeting within {seconds:g} s: it is not a QMP server, or another"
        " client holds its only connection: end that client, or start the QEMU with a second"
        " monitor, -qmp unix:PATH,server=on,wait=off (under libvirt in <qemu:commandline>)"
    )
