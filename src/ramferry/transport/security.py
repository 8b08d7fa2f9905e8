"""Who may listen to a migration, and who may take part in it: the policy for every address.

=================  =============================================================================
``unix:``          stays on this host, in clear; the socket's permissions protect it
``tcp:``           in clear; listening beyond the loopback needs ``insecure``
``tls:``           QEMU's own TLS, 1.2 or later, with certificates on both sides
``relay:``         TLS 1.3 with certificates on both sides if there are credentials; without them
                   in clear on the loopback and over UNIX sockets, and beyond it with ``insecure``
=================  =============================================================================

Either side checks the other's certificate: that the authority in its own ``ca-cert.pem`` vouches
for it, its dates, and the revocation list if there is one. The side that connects checks that the
certificate is for the host it connects to; the side that listens, that the subject is one of
``allowed``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from ramferry.errors import HostError, UsageError
from ramferry.transport.address import (
    Address,
    RelayAddress,
    TcpAddress,
    TlsAddress,
    UnixAddress,
    is_local,
    place_of,
)
from ramferry.transport.credentials import CLIENT, SERVER, Credentials, unreadable_kinds
from ramferry.transport.wire_socket import WireSocket

if TYPE_CHECKING:
    from cryptography import x509

_CONTEXTS: Final = 8
"""Contexts that are kept; a process has one set of credentials, or one for each migration."""

_UNREADABLE: Final = "a subject that cannot be read"
"""OpenSSL takes more than the standard allows."""


@dataclass(frozen=True, slots=True)
class Security:
    """Credentials, and what is allowed without them."""

    credentials: Credentials | None = None
    insecure: bool = False
    """Whether memory may travel in clear where others can listen. Does not turn TLS off where
    there are credentials."""
    allowed: tuple[str, ...] = ()
    """Patterns (fnmatch) of subjects that may connect, as QEMU's ``authz-list`` has them:
    ``CN=alpha,O=Example``. Empty: all that the authority vouches for."""
    name: str | None = None
    """The name that the certificate of a side that listens has to bear; None: the host of the
    address."""

    def encrypts(self, address: Address) -> bool:
        """Whether connections at this address are TLS.

        :raise UsageError: they would have to be, and there are no credentials.
        """
        if isinstance(address, TlsAddress):
            self._need(address)
            return True
        if not isinstance(address, RelayAddress) or isinstance(place_of(address), UnixAddress):
            return False
        if self.credentials is None and not self.insecure and not is_local(address):
            self._need(address)
        return self.credentials is not None

    def check_listen(self, address: Address) -> None:
        """Check that a side may listen there. Every ``Listener`` does that.

        :raise UsageError: memory would travel in clear beyond this host, or a certificate is
            missing.
        """
        if self.encrypts(address):
            self.server(address)
        elif isinstance(address, TcpAddress) and not self.insecure and not is_local(address):
            raise UsageError(
                f"{address} can be reached from other hosts, and a guest's memory would come there "
                "in clear from whoever connects: use relay: or tls: with --tls-creds, listen on "
                "127.0.0.1, or accept that with --insecure"
            )

    def check_monitor(self, address: Address) -> None:
        """Check that a monitor may listen there, which asks nobody who they are.

        :raise UsageError: other hosts can reach it.
        """
        if not self.insecure and not is_local(address):
            raise UsageError(
                f"{address} can be reached from other hosts, and whoever connects to a monitor has "
                "the guest and its memory: listen at a socket's path or on 127.0.0.1, or accept "
                "that with --insecure"
            )

    def check_connect(self, address: Address) -> None:
        """Check that a side may connect there.

        :raise UsageError: a certificate is missing, or memory would travel in clear to a relay on
            another host.
        """
        if self.encrypts(address):
            self.client(address)

    def in_clear(self, address: Address) -> bool:
        """Whether what travels at this address can be read by others than this host."""
        return not is_local(address) and not self.encrypts(address)

    def consented(self, *addresses: Address) -> list[str]:
        """What ``insecure`` means for a migration by these addresses: a sentence for each that
        needs it."""
        if not self.insecure:
            return []
        return [
            f"--insecure: the guest's memory travels in clear at {address}; whoever is on the way "
            "can read and change it, and whoever reaches that port can take part in the migration"
            for address in addresses
            if self.in_clear(address)
        ]

    def consented_monitor(self, address: Address) -> list[str]:
        """The same for a monitor that listens there."""
        if not self.insecure or is_local(address):
            return []
        return [
            f"--insecure: whoever reaches {address} has the guest and its memory; whoever is on "
            "the way can read and change what is said there"
        ]

    def allows(self, certificate: bytes) -> str:
        """Whether a side that connects may take part; empty if so, else its subject.

        :param certificate: what it showed, as DER.
        """
        if not self.allowed:
            return ""
        from cryptography import x509

        try:
            forms = _forms(x509.load_der_x509_certificate(certificate))
        except unreadable_kinds():
            return _UNREADABLE
        if any(fnmatchcase(form, pattern) for form in forms for pattern in self.allowed):
            return ""
        return forms[0]

    def shown(self, address: Address) -> str | None:
        """The subject of the certificate that a side shows when it connects to ``address``, as
        ``allowed`` has it; None if nothing is encrypted there.

        :raise UsageError: there is no certificate for it.
        """
        if not self.encrypts(address):
            return None
        from cryptography import x509

        pem = self._need(address).pair(CLIENT).certificate
        try:
            return _forms(x509.load_pem_x509_certificates(pem)[0])[0]
        except unreadable_kinds():
            return _UNREADABLE

    def server(self, address: Address) -> ssl.SSLContext:
        """For a side that listens at ``address``.

        :raise UsageError: there is no certificate for it.
        """
        return _context(self._need(address), SERVER, isinstance(address, RelayAddress))

    def client(self, address: Address) -> ssl.SSLContext:
        """For a side that connects to ``address``.

        :raise UsageError: there is no certificate for it.
        """
        return _context(self._need(address), CLIENT, isinstance(address, RelayAddress))

    def server_name(self, address: Address) -> str:
        """The name that the certificate at ``address`` has to bear."""
        place = place_of(address)
        return self.name or (place.host or "127.0.0.1" if isinstance(place, TcpAddress) else "")

    def _need(self, address: Address) -> Credentials:
        if self.credentials is None:
            either = " or, in clear, --insecure" if isinstance(address, RelayAddress) else ""
            raise UsageError(
                f"{address} needs --tls-creds DIR, a folder with certificates as QEMU's "
                f"tls-creds-x509 has them{either}"
            )
        return self.credentials


def _forms(certificate: x509.Certificate) -> tuple[str, str]:
    """A subject as gnutls, and so QEMU, writes it: in the order in which it is encoded; and as RFC
    4514 and so openssl's ``-nameopt rfc2253`` do: in the reverse order."""
    subject = certificate.subject
    return ",".join(part.rfc4514_string() for part in subject.rdns), subject.rfc4514_string()


IN_THIS_HOST: Final = Security()
"""Without credentials: in clear on this host, and nothing beyond it."""

WITHOUT_MEMORY: Final = Security(insecure=True)
"""For a listener to which no guest's memory comes, anywhere: probes, and monitors, which have
``check_monitor``."""


@functools.lru_cache(_CONTEXTS)
def _context(credentials: Credentials, role: str, between_relays: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if role == SERVER else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if between_relays else ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.sslsocket_class = WireSocket
    if role == SERVER:
        # a ticket would be bytes that came and that nobody sent
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    if credentials.revoked:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    pair = credentials.pair(role)
    try:
        with _as_file(credentials.authority + b"\n" + credentials.revoked) as authority:
            context.load_verify_locations(authority)
        with _as_file(pair.certificate) as certificate, _as_file(pair.key) as key:
            context.load_cert_chain(certificate, key, lambda: "")
    except ssl.SSLError as error:
        raise UsageError(
            f"OpenSSL cannot use the certificates of {credentials.where}: {error.reason}"
        ) from error
    except OSError as error:
        raise HostError(f"cannot load certificates: {error.strerror}") from error
    return context


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path to a file in memory, which is gone after the block: OpenSSL's loaders, as Python has
    them, know paths only."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
