"""Certificates for one benchmark: two hosts' in a private folder, gone at its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ramferry.errors import HostError
from ramferry.transport.credentials import lay_out
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
    server, client = authority.server(host), authority.client("source")
    lay_out(folder, authority.certificate, server=server, client=client)
