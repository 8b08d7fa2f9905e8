"""What the options of ``cli.tls_options`` mean."""

from __future__ import annotations

from pathlib import Path

from ramferry.errors import UsageError
from ramferry.transport import credentials
from ramferry.transport.security import Security


def tls_settings(folder: Path | None, allowed: tuple[str, ...], insecure: bool) -> Security:
    """The policy that the options ask for.

    :raise UsageError: they contradict each other, or the folder's files cannot be used.
    """
    if allowed and folder is None:
        raise UsageError("--tls-authz needs --tls-creds: nobody shows a certificate without TLS")
    found = credentials.read(folder) if folder is not None else None
    return Security(found, insecure=insecure, allowed=allowed)
