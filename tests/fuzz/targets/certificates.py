"""Certificates and keys of ``--tls-creds``, and the subject of a peer's certificate."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fuzz.target import Target
from ramferry.errors import UsageError
from ramferry.transport.address import parse_address
from ramferry.transport.credentials import Credentials, Pair, check
from ramferry.transport.security import Security

_KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
"""Not a secret; its signatures are the same each time."""
_PEM: Final = _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def samples() -> list[bytes]:
    """A certificate that signs itself, as DER; and others with other names and dates."""
    made = []
    for name, year in (("alpha", 2120), ("b" * 60, 2120), ("é\n,=", 2120), ("past", 2021)):
        parts = [(NameOID.COMMON_NAME, name), (NameOID.ORGANIZATION_NAME, "Example")]
        subject = x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(_KEY.public_key())
            .serial_number(77)
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(year, 1, 1, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("alpha")]), critical=False)
        )
        made.append(builder.sign(_KEY, None).public_bytes(Encoding.DER))
    return made


def pem(label: str, der: bytes) -> bytes:
    """DER as a file of PEM."""
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{text}-----END {label}-----\n".encode()


def check_certificate(data: bytes) -> bool:
    """As a file, and as what a peer shows: used, or refused in a sentence."""
    assert isinstance(Security(allowed=("CN=alpha*",)).allows(data), str)
    return _usable(Pair(pem("CERTIFICATE", data), _PEM))


def check_key(data: bytes) -> bool:
    """As a file of a certificate that is sound."""
    return _usable(Pair(pem("CERTIFICATE", samples()[0]), pem("PRIVATE KEY", data)))


def _usable(pair: Pair) -> bool:
    try:
        check(pair, "server-cert.pem", "server-key.pem")
        credentials = Credentials(pair.certificate, server=pair)
        Security(credentials).server(parse_address("tls:alpha:1"))
    except UsageError:
        return False
    return True


@cache
def targets() -> list[Target]:
    """Both."""
    key = _KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    words = (
        b"\x30\x82",
        b"\x02\x01",
        b"\x06\x03\x55\x04\x03",
        b"\x17\x0d",
        b"\x18\x0f",
        b"\x0c\x05",
    )
    return [
        Target("certificate", check_certificate, samples, words, longest=8192),
        Target("key", check_key, lambda: [key], words, longest=4096),
    ]
