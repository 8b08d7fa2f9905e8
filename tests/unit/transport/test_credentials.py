"""Certificates and keys in files: what is read, and what is refused in which words."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path

import pytest

from certificates import HOUR, LONG_AGO, authority, complete, lay_out
from ramferry.errors import UsageError
from ramferry.transport import credentials
from ramferry.transport.credentials import CLIENT, SERVER

DAY = timedelta(days=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return complete(tmp_path / "pki", authority())


def refusal(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        credentials.read(folder)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(str(folder), "DIR")


def test_a_folder_has_the_files_of_qemu_and_libvirt(folder: Path) -> None:
    read = credentials.read(folder)
    assert read.authority == (folder / "ca-cert.pem").read_bytes()
    for role in (SERVER, CLIENT):
        pair = read.pair(role)
        assert pair.certificate == (folder / f"{role}-cert.pem").read_bytes()
        assert pair.key == (folder / f"{role}-key.pem").read_bytes()
    assert not read.revoked
    assert read.where == str(folder)


def test_a_key_is_not_shown_where_credentials_are_printed(folder: Path) -> None:
    assert "PRIVATE" not in repr(credentials.read(folder))


@pytest.mark.parametrize("role", [SERVER, CLIENT])
def test_a_role_without_files_is_missed_when_it_is_wanted(folder: Path, role: str) -> None:
    for kind in ("cert", "key"):
        (folder / f"{role}-{kind}.pem").unlink()
    read = credentials.read(folder)
    verb = {SERVER: "listens", CLIENT: "connects"}[role]
    with pytest.raises(UsageError) as caught:
        read.pair(role)
    assert str(caught.value).replace(str(folder), "DIR") == (
        f"DIR has no {role}-cert.pem: a side that {verb} with TLS needs it, with its {role}-key.pem"
    )


def test_a_file_that_is_missing_is_named(folder: Path) -> None:
    (folder / "server-key.pem").unlink()
    assert refusal(folder) == "DIR has server-cert.pem, and no server-key.pem for it"
    (folder / "server-key.pem").touch(0o600)
    (folder / "server-cert.pem").unlink()
    assert refusal(folder) == "DIR has server-key.pem, and no server-cert.pem for it"
    (folder / "ca-cert.pem").unlink()
    assert refusal(folder).startswith("DIR has no ca-cert.pem: ")


def test_no_folder_is_said_so(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == (
        "there is no folder DIR: TLS needs one with certificates, as QEMU's tls-creds-x509 has them"
    )


def test_a_folder_that_is_a_file_is_said_so(folder: Path) -> None:
    for below in ("ca-cert.pem", "ca-cert.pem/deeper"):
        assert refusal(folder / below).startswith("there is no folder DIR: ")


def test_an_empty_folder_is_told_what_it_lacks(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        "DIR has no ca-cert.pem: TLS needs the certificate of whoever vouches for the other side"
    )


@pytest.mark.parametrize("name", ["ca-cert.pem", "server-cert.pem", "client-cert.pem"])
@pytest.mark.parametrize("content", [b"", b"\xff\0", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_that_is_no_pem_is_named(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert refusal(folder) == f"DIR/{name} holds no certificate in PEM form"


def test_a_key_that_is_no_pem_is_named(folder: Path) -> None:
    (folder / "client-key.pem").write_bytes(b"secret")
    assert refusal(folder) == "DIR/client-key.pem holds no private key in PEM form"


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(folder: Path) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    key = folder / "server-key.pem"
    hidden = load_pem_private_key(key.read_bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    )
    key.write_bytes(hidden)
    assert refusal(folder) == (
        "DIR/server-key.pem is encrypted: write the key without a passphrase"
    )


def test_a_list_of_revoked_ones_that_is_no_pem_is_named(folder: Path) -> None:
    (folder / "ca-crl.pem").write_bytes(b"nobody")
    assert refusal(folder) == "DIR/ca-crl.pem holds no revocation list in PEM form"


def test_a_huge_file_is_not_read(folder: Path) -> None:
    os.truncate(folder / "ca-cert.pem", 1 << 40)
    assert refusal(folder) == ("DIR/ca-cert.pem has more than 4 MiB: it is no certificate or key")


def test_a_key_of_another_certificate_is_named(folder: Path) -> None:
    (folder / "server-key.pem").write_bytes((folder / "client-key.pem").read_bytes())
    assert refusal(folder) == "DIR/server-key.pem is not the key of DIR/server-cert.pem"


def test_an_expired_certificate_is_named_with_its_date(tmp_path: Path) -> None:
    old = authority(LONG_AGO, -DAY)
    folder = lay_out(tmp_path / "old", authority(), client=old.client("client"))
    assert refusal(folder).startswith("DIR/client-cert.pem has expired: it was valid until 20")
    folder = lay_out(tmp_path / "older", old)
    assert refusal(folder).startswith("DIR/ca-cert.pem has expired: it was valid until 20")


def test_a_certificate_of_tomorrow_is_named_with_its_date(tmp_path: Path) -> None:
    new = authority(DAY, 2 * DAY)
    folder = lay_out(tmp_path / "new", authority(), server=new.server("localhost"))
    told = refusal(folder)
    assert told.startswith("DIR/server-cert.pem is not valid yet: it will be from 20")
    assert told.endswith(" on; is this host's clock right?")


# --- keys that others can read


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o602, 0o677])
def test_an_own_key_that_others_can_read_is_refused(folder: Path, mode: int) -> None:
    key = folder / "server-key.pem"
    key.chmod(mode)
    assert refusal(folder) == (
        f"others can read or change the key DIR/server-key.pem (mode {mode:04o}): it is not used; "
        "chmod 600 DIR/server-key.pem, and have new keys made if it was seen"
    )
    key.chmod(0o400)
    assert credentials.read(folder).server


@pytest.mark.parametrize(("mode", "refused"), [(0o640, False), (0o644, True)])
def test_a_group_may_read_a_key_that_it_was_given(
    folder: Path, mode: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As libvirt's: root's, with the group that QEMU runs as."""
    (folder / "server-key.pem").chmod(mode)
    (folder / "client-key.pem").chmod(mode)
    monkeypatch.setattr(credentials.os, "geteuid", lambda: os.getuid() + 1)
    if refused:
        assert refusal(folder).startswith("others can read or change the key DIR/server-key.pem")
    else:
        assert credentials.read(folder).server


def test_certificates_of_others_may_be_read_by_all(folder: Path) -> None:
    (folder / "ca-cert.pem").chmod(0o644)
    (folder / "server-cert.pem").chmod(0o644)
    assert credentials.read(folder).server


def test_the_authority_may_be_several(folder: Path) -> None:
    both = (folder / "ca-cert.pem").read_bytes() + authority(-HOUR).certificate
    (folder / "ca-cert.pem").write_bytes(both)
    assert credentials.read(folder).authority == both


def test_what_expires_soon_is_told_of_by_its_file(tmp_path: Path) -> None:
    later = authority(until=40 * DAY)
    folder = complete(tmp_path / "pki", later)
    read = credentials.read(folder)
    assert credentials.expiring(read, 30 * DAY) == []
    assert [one.split(",")[0] for one in credentials.expiring(read, 50 * DAY)] == [
        f"{folder}/{name} expires in 39 days"
        for name in ("ca-cert.pem", "server-cert.pem", "client-cert.pem")
    ]
    soon = authority(until=HOUR)
    (folder / "ca-cert.pem").write_bytes(later.certificate + soon.certificate)
    (told,) = credentials.expiring(credentials.read(folder), 30 * DAY)
    # the certificate's time has whole seconds
    assert re.match(re.escape(f"{folder}/ca-cert.pem expires in ") + "(59 min|1 h 0 min)", told)
    assert told.endswith(
        ": no connection is made with it then; lay a new one there and reload (SIGUSR1)"
    )
