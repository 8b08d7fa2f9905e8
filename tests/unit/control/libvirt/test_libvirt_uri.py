"""Addresses of libvirt's domains and daemons."""

from __future__ import annotations

import pytest

from ramferry.control.libvirt.uri import DomainUri, is_libvirt, login_of, parse_domain
from ramferry.errors import UsageError


@pytest.mark.parametrize(
    ("text", "connection", "name"),
    [
        ("libvirt:guest", "qemu:///system", "guest"),
        ("libvirt:my guest: the 2nd", "qemu:///system", "my guest: the 2nd"),
        ("libvirt:///system?domain=guest", "qemu:///system", "guest"),
        ("libvirt:///session?domain=a%26b", "qemu:///session", "a&b"),
        (
            "libvirt:///system?socket=%2Frun%2Fx&domain=g",
            "qemu:///system?socket=%2Frun%2Fx",
            "g",
        ),
    ],
)
def test_a_domain(text: str, connection: str, name: str) -> None:
    assert is_libvirt(text)
    assert parse_domain(text) == DomainUri(connection, name)
    assert parse_domain(str(parse_domain(text))) == parse_domain(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("libvirt:", "names no domain"),
        ("libvirt:a/b", "names no domain"),
        ("libvirt:a\nb", "names no domain"),
        ("libvirt:///system", "does not say which domain"),
        ("libvirt:///system?domain=", "does not say which domain"),
        ("libvirt:///?domain=a", "does not say which domain"),
        ("libvirt:///system?domain=a&domain=b", "does not say which domain"),
        ("libvirt://beta/system?domain=a", "run this command on beta"),
        ("libvirt://[::1/system?domain=a", "no address of a domain"),
    ],
)
def test_no_domain(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_domain(text)


@pytest.mark.parametrize(
    ("uri", "login"),
    [
        ("qemu+ssh://beta/system", "ssh://beta"),
        ("qemu+ssh://root@beta:2222/system?keyfile=/x", "ssh://root@beta:2222"),
        ("qemu+libssh2://[fe80::1]/system", "ssh://[fe80::1]"),
        ("qemu+tls://beta/system", None),
        ("qemu+tcp://beta/system", None),
        ("qemu:///system", None),
    ],
)
def test_the_host_of_a_daemon(uri: str, login: str | None) -> None:
    found = login_of(uri)
    assert (None if found is None else found.login) == login


@pytest.mark.parametrize("uri", ["beta", "qemu+ssh://beta", "qemu+ssh://-oX=y/system", "//x/y"])
def test_no_daemon(uri: str) -> None:
    with pytest.raises(UsageError):
        login_of(uri)
