"""Folders of certificates for tests, laid out as QEMU's and libvirt's."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from ramferry.transport import credentials
from ramferry.transport.credentials import Pair
from ramferry.transport.one_time import Authority

HOUR = timedelta(hours=1)
LONG = timedelta(days=90)
"""For which nobody is told that a certificate expires soon."""
LONG_AGO = timedelta(days=-3)


def authority(since: timedelta = -HOUR, until: timedelta = LONG) -> Authority:
    return Authority("Ramferry's tests", since=since, until=until)


def lay_out(
    folder: Path,
    trusted: Authority,
    *,
    server: Pair | None = None,
    client: Pair | None = None,
) -> Path:
    """Write the files of one side; a key is its owner's only."""
    folder.mkdir(exist_ok=True)
    credentials.lay_out(folder, trusted.certificate, server=server, client=client)
    return folder


def complete(folder: Path, trusted: Authority, host: str = "127.0.0.1") -> Path:
    """A folder with both certificates of one host."""
    return lay_out(
        folder, trusted, server=trusted.server(host), client=trusted.client("client", "Example")
    )
