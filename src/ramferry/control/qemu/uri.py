"""QMP addresses: ``qmp:PATH`` and ``qmp:HOST:PORT``, and ``ssh://HOST/PATH`` on another host."""

from __future__ import annotations

from typing import Final

from ramferry.control.hosts.ssh_uri import is_ssh, parse_ssh
from ramferry.errors import UsageError
from ramferry.transport.address import MOST_PORT

QMP: Final = "qmp:"
"""The prefix of a QMP address."""


_FORMS: Final = "qmp:PATH or qmp:HOST:PORT"


def parse_qmp(uri: str, forms: str = _FORMS) -> str | tuple[str, int]:
    """Read ``qmp:PATH`` or ``qmp:HOST:PORT``: a socket's path, or host and port.

    What has a slash, or no colon, is a path. IPv6 addresses may be in brackets.

    :param forms: what may be written, for the error.
    :raise UsageError: it is neither.
    """
    rest = uri.removeprefix(QMP)
    if rest in (uri, ""):
        raise UsageError(f"{uri!r} is no QMP address: write {forms}")
    if "/" in rest or ":" not in rest:
        return rest
    host, _, port = rest.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= MOST_PORT:
        raise UsageError(f"{uri!r} is no QMP address: the port must be 1 to {MOST_PORT}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def monitor_address(uri: str) -> str | tuple[str, int]:
    """Where a monitor is on its host: a socket's path, or host and port.

    :raise UsageError: ``uri`` is no QMP address, nor one by ssh.
    """
    if is_ssh(uri):
        return parse_ssh(uri).path
    return parse_qmp(uri, f"{_FORMS}, or ssh://HOST/PATH for one on another host")


def qmp_host(uri: str) -> str | None:
    """The host of ``qmp:HOST:PORT``; None for a socket's path."""
    address = monitor_address(uri)
    return address[0] if isinstance(address, tuple) else None
