"""What the options of ``cli.tls_options`` mean."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ramferry.errors import UsageError
from ramferry.transport import credentials
from ramferry.transport.address import Address
from ramferry.transport.security import Security

_OF_PATTERNS: Final = frozenset("=*?[")
"""A pattern without any of these is a name, and every subject that can match has a "="."""


def tls_settings(folder: Path | None, allowed: tuple[str, ...], insecure: bool) -> Security:
    """The policy that the options ask for.

    :raise UsageError: they contradict each other, a pattern can match nobody, or the folder's files
        cannot be used.
    """
    if allowed and folder is None:
        raise UsageError("--tls-authz needs --tls-creds: nobody shows a certificate without TLS")
    for pattern in allowed:
        if _OF_PATTERNS.isdisjoint(pattern):
            raise UsageError(
                f"--tls-authz {pattern!r} can match nobody: write a subject, such as"
                f" CN={pattern or 'alpha.example.com'}, or a pattern with * in it"
            )
    found = credentials.read(folder) if folder is not None else None
    return Security(found, insecure=insecure, allowed=allowed)


def refuse_idle_authz(security: Security, listen: Address) -> None:
    """Check that those who connect to an address show the certificate that ``--tls-authz`` is to
    check, since whoever gives it believes that nobody else gets in.

    :raise UsageError: they show none.
    """
    if security.allowed and not security.encrypts(listen):
        raise UsageError(
            f"--tls-authz checks the certificates of those who connect, and {listen} asks for none:"
            " listen at relay:HOST:PORT or tls:"
        )


def refuse_idle_creds(security: Security, *addresses: Address) -> None:
    """Check that ``--tls-creds`` encrypts something, since whoever gives it believes that.

    :param addresses: all that the command uses.
    :raise UsageError: it does not.
    """
    if security.credentials is None or any(security.encrypts(one) for one in addresses):
        return
    one = "neither address is one" if len(addresses) > 1 else f"{addresses[0]} is neither"
    raise UsageError(f"--tls-creds is for relay:HOST:PORT and tls:, and {one}")
