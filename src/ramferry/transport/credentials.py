"""Certificates and keys for TLS, as QEMU and libvirt lay out their files, or from memory.

A folder holds ``ca-cert.pem``, ``ca-crl.pem`` if certificates were revoked, and a certificate with
its key for either role: ``server-cert.pem`` and ``server-key.pem`` for one that listens,
``client-cert.pem`` and ``client-key.pem`` for one that connects (QEMU's ``tls-creds-x509``).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ramferry.errors import UsageError, unreadable
from ramferry.units import duration

if TYPE_CHECKING:
    from cryptography import x509

CA: Final = "ca-cert.pem"
CRL: Final = "ca-crl.pem"
SERVER: Final = "server"
CLIENT: Final = "client"
_ROLE: Final = {SERVER: "listens", CLIENT: "connects"}
MOST_BYTES: Final = 4 << 20
"""Most bytes of a file; a bundle of every public authority has 0.2 MiB."""
_FOR_OTHERS: Final = stat.S_IRWXO
_FOR_GROUP: Final = stat.S_IRWXG


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate, with those between it and the authority's, and its key; both as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one side of TLS shows, and whom it trusts."""

    authority: bytes
    """The certificates, as PEM, of whoever vouches for the other side."""
    server: Pair | None = None
    client: Pair | None = None
    revoked: bytes = b""
    """Revocation lists of the authority, as PEM."""
    where: str = "the credentials"
    """Where they come from; for sentences."""

    def pair(self, role: str) -> Pair:
        """What is shown in a role.

        :raise UsageError: there is none for this role.
        """
        pair = self.server if role == SERVER else self.client
        if pair is None:
            raise UsageError(
                f"{self.where} has no {role}-cert.pem: a side that {_ROLE[role]} with TLS needs it,"
                f" with its {role}-key.pem"
            )
        return pair


def read(folder: Path) -> Credentials:
    """Read a folder's files, and check them.

    :raise UsageError: there is no such folder; or a file is missing, is no PEM, is of no use now,
        or others can read a key.
    :raise HostError: a file may not be read.
    """
    _check_folder(folder)
    authority = _content(
        folder / CA,
        f"{folder} has no {CA}: TLS needs the certificate of whoever vouches for the other side",
    )
    for certificate in _certificates(authority, str(folder / CA)):
        _check_dates(certificate, str(folder / CA))
    revoked = _content(folder / CRL, "") if (folder / CRL).exists() else b""
    if revoked:
        _check_revoked(revoked, str(folder / CRL))
    return Credentials(
        authority,
        server=_read_pair(folder, SERVER),
        client=_read_pair(folder, CLIENT),
        revoked=revoked,
        where=str(folder),
    )


def _check_folder(folder: Path) -> None:
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_folder = False
    except OSError as error:
        raise unreadable(folder, error) from error
    if not is_folder:
        raise UsageError(
            f"there is no folder {folder}: TLS needs one with certificates, as QEMU's"
            " tls-creds-x509 has them"
        )


def check(pair: Pair, certificate_name: str, key_name: str) -> None:
    """Check that a certificate and a key can be used, and belong together.

    :param certificate_name: what the certificate is called in sentences.
    :raise UsageError: they cannot, or do not.
    """
    own = _certificates(pair.certificate, certificate_name)[0]
    _check_dates(own, certificate_name)
    if _public(own, certificate_name) != _public_of_key(pair.key, key_name):
        raise UsageError(f"{key_name} is not the key of {certificate_name}")


def _read_pair(folder: Path, role: str) -> Pair | None:
    certificate, key = folder / f"{role}-cert.pem", folder / f"{role}-key.pem"
    if not certificate.exists() and not key.exists():
        return None
    pair = Pair(
        _content(certificate, f"{folder} has {key.name}, and no {certificate.name} for it"),
        _content(key, f"{folder} has {certificate.name}, and no {key.name} for it", secret=True),
    )
    check(pair, str(certificate), str(key))
    return pair


def _content(path: Path, missing: str, *, secret: bool = False) -> bytes:
    """:param missing: the sentence if there is no such file."""
    try:
        with path.open("rb") as file:
            if secret:
                _check_secret(path, os.fstat(file.fileno()))
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(missing) from None
    except OSError as error:
        raise unreadable(path, error) from error
    if len(content) > MOST_BYTES:
        raise UsageError(
            f"{path} has more than {MOST_BYTES >> 20} MiB: it is no certificate or key"
        )
    return content


def _check_secret(path: Path, facts: os.stat_result) -> None:
    """As ssh does: a group may read a key that it was given by another owner."""
    open_to = facts.st_mode & _FOR_OTHERS
    if facts.st_uid == os.geteuid():
        open_to |= facts.st_mode & _FOR_GROUP
    if open_to:
        raise UsageError(
            f"others can read or change the key {path} (mode {stat.S_IMODE(facts.st_mode):04o}): "
            f"it is not used; chmod 600 {path}, and have new keys made if it was seen"
        )


def expiring(credentials: Credentials, within: timedelta) -> list[str]:
    """A sentence for each certificate that expires within a time from now.

    :param credentials: as ``read`` has them.
    """
    shown = [(CA, credentials.authority)]
    for role, pair in ((SERVER, credentials.server), (CLIENT, credentials.client)):
        if pair is not None:
            shown.append((f"{role}-cert.pem", pair.certificate))
    found: list[str] = []
    for file, pem in shown:
        name = f"{credentials.where}/{file}"
        last = min(one.not_valid_after_utc for one in _certificates(pem, name))
        left = last - datetime.now(UTC)
        if left <= within:
            found.append(
                f"{name} expires in {_days(left)}, at {last}: no connection is made with it then;"
                " lay a new one there and reload (SIGUSR1)"
            )
    return found


def _days(left: timedelta) -> str:
    return duration(left.total_seconds()) if left < timedelta(days=2) else f"{left.days} days"


# --- what the files hold


def unreadable_kinds() -> tuple[type[Exception], ...]:
    """What ``cryptography`` raises for a certificate or key that it cannot read."""
    from cryptography.exceptions import InternalError, UnsupportedAlgorithm
    from cryptography.x509 import InvalidVersion

    return ValueError, TypeError, UnsupportedAlgorithm, InvalidVersion, InternalError


def _certificates(pem: bytes, name: str) -> list[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(pem)
    except unreadable_kinds():
        raise UsageError(f"{name} holds no certificate in PEM form") from None


def _check_revoked(pem: bytes, name: str) -> None:
    from cryptography import x509

    try:
        x509.load_pem_x509_crl(pem)
    except unreadable_kinds():
        raise UsageError(f"{name} holds no revocation list in PEM form") from None


def _check_dates(certificate: x509.Certificate, name: str) -> None:
    now = datetime.now(UTC)
    try:
        first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except unreadable_kinds():
        raise UsageError(f"{name} has dates that there are not") from None
    if now > last:
        raise UsageError(f"{name} has expired: it was valid until {last}")
    if now < first:
        raise UsageError(
            f"{name} is not valid yet: it will be from {first} on; is this host's clock right?"
        )


def _public(certificate: x509.Certificate, name: str) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        key = certificate.public_key()
    except unreadable_kinds():
        raise UsageError(f"{name} is for a key of a kind that is not known here") from None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public_of_key(pem: bytes, name: str) -> bytes:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        raise UsageError(f"{name} is encrypted: write the key without a passphrase") from None
    except unreadable_kinds():
        raise UsageError(f"{name} holds no private key in PEM form") from None
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def lay_out(
    folder: Path, authority: bytes, *, server: Pair | None = None, client: Pair | None = None
) -> None:
    """Write the files that ``read`` reads; a key is its owner's only.

    :param authority: its certificate, as PEM.
    :raise OSError: a file cannot be written.
    """
    (folder / CA).write_bytes(authority)
    for role, pair in ((SERVER, server), (CLIENT, client)):
        if pair is not None:
            (folder / f"{role}-cert.pem").write_bytes(pair.certificate)
            key = folder / f"{role}-key.pem"
            key.touch(0o600)
            key.write_bytes(pair.key)
