"""Certificates that are made for one migration, and never lie in a file.

An authority signs one certificate for each side, and its key is forgotten at once: nobody else can
ever have a certificate that either side accepts. So the name in it does not have to be that of a
host.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from ramferry.transport.credentials import Credentials, Pair

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

NAME: Final = "one-time.ramferry.invalid"
"""The name of the side that listens; ``invalid`` is no host's (RFC 2606)."""
SKEW: Final = timedelta(hours=24)
"""How far apart the clocks of both hosts may be."""
VALID: Final = timedelta(days=7)
"""The longest migration. Certificates are looked at in handshakes only."""


@dataclass(frozen=True, slots=True)
class OneTime:
    """The credentials of both sides."""

    listens: Credentials
    connects: Credentials


def make() -> OneTime:
    """Make an authority, and a certificate for each side (ECDSA, P-256)."""
    authority = Authority("Ramferry, one migration")
    where = "the one-time credentials"
    return OneTime(
        Credentials(authority.certificate, server=authority.server(NAME), where=where),
        Credentials(authority.certificate, client=authority.client("source"), where=where),
    )


class Authority:
    """Signs certificates, as long as this object lives."""

    def __init__(
        self, name: str, *, since: timedelta = -SKEW, until: timedelta = VALID + SKEW
    ) -> None:
        """
        :param since: when its certificates begin to be valid, from now on.
        :param until: when they expire, from now on.
        """
        self._key = _new_key()
        now = datetime.now(UTC)
        self._since, self._until = now + since, now + until
        self._subject = _subject(name)
        builder = self._builder(self._subject, self._key, authority=True)
        self.certificate = _pem(builder.sign(self._key, _digest()))
        """Its own certificate, as PEM."""

    def server(self, name: str, organization: str = "") -> Pair:
        """A certificate, with its key, for a side that listens.

        :param name: the host's name or IP address.
        """
        return self._signed(name, organization, server=True)

    def client(self, name: str, organization: str = "") -> Pair:
        """A certificate, with its key, for a side that connects."""
        return self._signed(name, organization, server=False)

    def _signed(self, name: str, organization: str, *, server: bool) -> Pair:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.x509.oid import ExtendedKeyUsageOID

        key = _new_key()
        use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(_subject(name, organization), key, authority=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(name)]), critical=False
        )
        return Pair(
            _pem(builder.sign(self._key, _digest())),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )

    def _builder(
        self, subject: x509.Name, key: EllipticCurvePrivateKey, *, authority: bool
    ) -> x509.CertificateBuilder:
        from cryptography import x509

        own, public = x509.SubjectKeyIdentifier.from_public_key, key.public_key()
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._since)
            .not_valid_after(self._until)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(_uses(authority), critical=True)
            .add_extension(own(public), critical=False)
            .add_extension(issuer, critical=False)
        )


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _digest() -> hashes.SHA256:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA256()


def _pem(certificate: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def _subject(name: str, organization: str = "") -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = [(NameOID.COMMON_NAME, name), (NameOID.ORGANIZATION_NAME, organization)]
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts if text])


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _uses(authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        # QEMU 7.2 and 10.0 refuse a certificate without it, though no key is encrypted here
        key_encipherment=not authority,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
