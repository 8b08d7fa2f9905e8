"""Who may listen where, and who may connect."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from certificates import authority, complete, lay_out
from leftovers import no_descriptor_left
from ramferry.errors import UsageError
from ramferry.transport import credentials
from ramferry.transport.address import parse_address
from ramferry.transport.security import IN_THIS_HOST, Security

LOCAL = ("unix:/a", "tcp:127.0.0.1:1", "tcp:[::1]:1", "tcp:localhost:1", "relay:127.0.0.1:1")
ABROAD = ("tcp:0.0.0.0:1", "tcp::1", "tcp:[::]:1", "tcp:192.0.2.1:1", "tcp:alpha:1")


@pytest.fixture
def secure(tmp_path: Path) -> Security:
    return Security(credentials.read(complete(tmp_path / "pki", authority())))


@pytest.mark.parametrize("uri", [*LOCAL, "relay:unix:/a"])
def test_in_this_host_nothing_has_to_be_encrypted(uri: str) -> None:
    address = parse_address(uri)
    IN_THIS_HOST.check_listen(address)
    IN_THIS_HOST.check_connect(address)
    assert not IN_THIS_HOST.encrypts(address)
    assert not IN_THIS_HOST.in_clear(address)


@pytest.mark.parametrize("uri", ABROAD)
def test_plain_tcp_that_others_reach_is_refused_to_listeners(uri: str, secure: Security) -> None:
    address = parse_address(uri)
    for security in (IN_THIS_HOST, secure):
        with pytest.raises(UsageError) as caught:
            security.check_listen(address)
        assert str(caught.value) == (
            f"{address} can be reached from other hosts, and a guest's memory would come there in "
            "clear from whoever connects: use relay: or tls: with --tls-creds, listen on "
            "127.0.0.1, or accept that with --insecure"
        )
        security.check_connect(address)
    Security(insecure=True).check_listen(address)
    assert Security(insecure=True).in_clear(address)


@pytest.mark.parametrize("uri", ABROAD)
def test_a_monitor_that_others_reach_is_refused(uri: str, secure: Security) -> None:
    address = parse_address(uri)
    for security in (IN_THIS_HOST, secure):
        with pytest.raises(UsageError) as caught:
            security.check_monitor(address)
        assert str(caught.value) == (
            f"{address} can be reached from other hosts, and whoever connects to a monitor has the "
            "guest and its memory: listen at a socket's path or on 127.0.0.1, or accept that with "
            "--insecure"
        )
        assert security.consented_monitor(address) == []
    insecure = Security(insecure=True)
    insecure.check_monitor(address)
    (told,) = insecure.consented_monitor(address)
    assert told.startswith(f"--insecure: whoever reaches {address} has the guest and its memory;")


@pytest.mark.parametrize("uri", LOCAL[:-1])
def test_a_monitor_in_this_host_needs_nothing(uri: str) -> None:
    address = parse_address(uri)
    IN_THIS_HOST.check_monitor(address)
    assert Security(insecure=True).consented_monitor(address) == []


def test_consent_is_spoken_of_where_it_is_needed(secure: Security) -> None:
    local, abroad = parse_address("tcp:127.0.0.1:1"), parse_address("tcp:alpha:1")
    relay = parse_address("relay:alpha:1")
    insecure = Security(insecure=True)
    (told,) = insecure.consented(local, abroad)
    assert told.startswith("--insecure: the guest's memory travels in clear at tcp:alpha:1; ")
    assert len(insecure.consented(abroad, relay)) == 2
    both = Security(secure.credentials, insecure=True)
    assert both.consented(relay) == []
    assert secure.consented(abroad) == []


def test_a_relay_beyond_this_host_needs_credentials_or_consent(secure: Security) -> None:
    address = parse_address("relay:alpha:1")
    for check in (IN_THIS_HOST.check_listen, IN_THIS_HOST.check_connect):
        with pytest.raises(UsageError) as caught:
            check(address)
        assert str(caught.value) == (
            "relay:alpha:1 needs --tls-creds DIR, a folder with certificates as QEMU's "
            "tls-creds-x509 has them or, in clear, --insecure"
        )
    insecure = Security(insecure=True)
    insecure.check_listen(address)
    insecure.check_connect(address)
    assert insecure.in_clear(address)
    assert not insecure.encrypts(address)
    secure.check_listen(address)
    secure.check_connect(address)
    assert secure.encrypts(address)
    assert not secure.in_clear(address)


def test_consent_does_not_turn_tls_off(secure: Security) -> None:
    both = Security(secure.credentials, insecure=True)
    assert both.encrypts(parse_address("relay:alpha:1"))
    assert both.encrypts(parse_address("relay:127.0.0.1:1"))
    assert not both.encrypts(parse_address("relay:unix:/a"))
    assert not both.encrypts(parse_address("tcp:alpha:1"))


@pytest.mark.parametrize("uri", ["tls:127.0.0.1:1", "tls:alpha:1"])
@pytest.mark.parametrize("insecure", [False, True])
def test_qemus_tls_needs_credentials(uri: str, insecure: bool) -> None:
    security = Security(insecure=insecure)
    for check in (security.check_listen, security.check_connect):
        with pytest.raises(
            UsageError, match=r"^tls:\S+ needs --tls-creds DIR, a folder .*-x509 has them$"
        ):
            check(parse_address(uri))


def test_a_certificate_for_the_role_is_wanted_before_anything_listens(tmp_path: Path) -> None:
    trusted = authority()
    only_client = lay_out(tmp_path / "pki", trusted, client=trusted.client("c"))
    security = Security(credentials.read(only_client))
    address = parse_address("tls:127.0.0.1:0")
    security.check_connect(address)
    with pytest.raises(UsageError, match=r"has no server-cert\.pem: a side that listens"):
        security.check_listen(address)


@pytest.mark.parametrize(
    ("uri", "least"),
    [("relay:a:1", ssl.TLSVersion.TLSv1_3), ("tls:a:1", ssl.TLSVersion.TLSv1_2)],
)
def test_versions(uri: str, least: ssl.TLSVersion, secure: Security) -> None:
    address = parse_address(uri)
    for context in (secure.server(address), secure.client(address)):
        assert context.minimum_version is least
        assert context.verify_mode is ssl.CERT_REQUIRED
    assert secure.client(address).check_hostname


def test_the_name_is_the_addresss_unless_it_was_agreed_on() -> None:
    for uri, name in (
        ("relay:alpha:1", "alpha"),
        ("tls:[::1]:1", "::1"),
        ("tls::1", "127.0.0.1"),
    ):
        assert Security().server_name(parse_address(uri)) == name
        assert Security(name="agreed").server_name(parse_address(uri)) == "agreed"


# --- subjects


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("CN=alpha.example.com,O=Example\\, Ltd", True),  # as gnutls, and QEMU, write it
        ("O=Example\\, Ltd,CN=alpha.example.com", True),  # as RFC 4514
        ("CN=*.example.com,*", True),
        ("CN=alpha.example.com", False),
        ("CN=alpha.example.com,O=example*", False),
        ("alpha.example.com", False),
        ("*", True),
    ],
)
def test_patterns_of_subjects(pattern: str, allowed: bool) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    pair = authority().client("alpha.example.com", "Example, Ltd")
    certificate = x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)
    subject = "CN=alpha.example.com,O=Example\\, Ltd"
    assert Security().allows(certificate) == ""
    assert Security(allowed=(pattern,)).allows(certificate) == ("" if allowed else subject)
    assert Security(allowed=("CN=beta*", pattern)).allows(certificate) == (
        "" if allowed else subject
    )


def test_what_is_shown_is_written_as_patterns_have_it(secure: Security) -> None:
    assert secure.shown(parse_address("relay:far:1")) == "CN=client,O=Example"
    assert secure.shown(parse_address("relay:unix:/far")) is None
    assert Security().shown(parse_address("relay:127.0.0.1:1")) is None


def test_a_set_that_openssl_refuses_is_the_callers_error(tmp_path: Path) -> None:
    good = credentials.read(complete(tmp_path / "pki", authority()))
    odd = credentials.Credentials(b"", good.server, good.client, where="the folder")
    with pytest.raises(UsageError, match=r"^OpenSSL cannot use the certificates of the folder: "):
        Security(odd).server(parse_address("tls:a:1"))


def test_nothing_of_a_key_is_left_in_a_file(secure: Security) -> None:
    with no_descriptor_left():
        secure.server(parse_address("tls:other:1"))
