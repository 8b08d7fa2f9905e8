"""Certificates for one benchmark: two hosts' in a private folder, gone at its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ramferry.errors import HostError
from ramferry.transport.credentials import CA, CLIENT, SERVER, Pair
from ramferry.transport.one_time import Authority
from ramferry.transport.tempfolder import IN_MEMORY, TempFolder


@contextmanager
def certificates(host: str) -> Iterator[Path]:
    """A folder with certificates and keys of both sides, for relays and for QEMU's
    ``tls-creds-x509``; in memory, so that the keys reach no disk.

    :param host: name or IP address of the side that listens.
    :raise HostError: this host lets no such folder be made.
    """
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(TempFolder(IN_MEMORY)).path
            _fill(folder, host)
        except OSError as error:
            raise HostError(f"no certificates in {IN_MEMORY}: {error.strerror}") from error
        yield folder


def _fill(folder: Path, host: str) -> None:
    authority = Authority("Ramferry, one benchmark")
    (folder / CA).write_bytes(authority.certificate)
    _write(folder, SERVER, authority.server(host))
    _write(folder, CLIENT, authority.client("source"))


def _write(folder: Path, role: str, pair: Pair) -> None:
    (folder / f"{role}-cert.pem").write_bytes(pair.certificate)
    with open(os.open(folder / f"{role}-key.pem", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as key:
        key.write(pair.key)
