"""Connects to a migration address: in clear or by TLS, as the policy has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ramferry.errors import PeerUnreachable
from ramferry.transport import handshake, plain
from ramferry.transport.address import Address, RelayAddress
from ramferry.transport.connection import Connection
from ramferry.transport.security import IN_THIS_HOST, Security

_NO_TLS: Final = (
    "; if it is a QEMU without tls-creds, or a relay at tcp:, connect by tcp:",
    "; if it is a relay that was started without certificates, give it --tls-creds as well",
)


def connect(
    address: Address,
    security: Security | None = None,
    *,
    check: Callable[[], None] = lambda: None,
    timeout: float = plain.CONNECT_TIMEOUT,
) -> Connection:
    """A connection to whoever listens at ``address``; ``settle`` it before use.

    :param security: None: without credentials.
    :param check: called several times a second in TLS's handshake; if it raises, that ends.
    :param timeout: seconds for the connection to be accepted.
    :raise UsageError: the policy does not allow it.
    :raise PeerUnreachable: nobody accepts there, or TLS failed.
    :raise HostError: this process, or the host, has no descriptor left.
    """
    security = security or IN_THIS_HOST
    if not security.encrypts(address):
        return plain.connect(address, timeout=timeout)
    context, name = security.client(address), security.server_name(address)
    sock = plain.connect(address, timeout=timeout).detach()
    try:
        return handshake.as_client(sock, context, name, handshake.Watch(check))
    except handshake.Failed as error:
        unsure = isinstance(error, handshake.Silent)
        advice = _NO_TLS[isinstance(address, RelayAddress)] if unsure else ""
        raise PeerUnreachable(f"no TLS with {address}: {error}{advice}") from error
