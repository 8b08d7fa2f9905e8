"""Addresses by ssh."""

from __future__ import annotations

import pytest

from ramferry.control.hosts.ssh_uri import SshUri, is_ssh, parse_ssh, parse_ssh_host
from ramferry.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssh://beta/run/vm.qmp", SshUri("beta", path="/run/vm.qmp")),
        ("ssh://me@beta:2222/q", SshUri("beta", "me", 2222, "/q")),
        ("ssh://[2001:db8::1]:22/q", SshUri("2001:db8::1", port=22, path="/q")),
        ("ssh://192.0.2.1/a%20b", SshUri("192.0.2.1", path="/a b")),
    ],
)
def test_read(text: str, expected: SshUri) -> None:
    assert is_ssh(text)
    assert parse_ssh(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ssh://beta", "does not say where the QMP socket is"),
        ("ssh://beta/", "does not say where the QMP socket is"),
        ("ssh:///run/q", "is no address"),
        ("ssh://a@b@c/q", "is no address"),
        ("ssh://beta:0/q", "the port must be 1 to 65535"),
        ("ssh://beta:65536/q", "the port must be 1 to 65535"),
        ("ssh://beta:x/q", "is no address"),
        ("ssh://-oProxyCommand=id/q", "can be no user or host"),
        ("ssh://-l@beta/q", "can be no user or host"),
        ("ssh://be ta/q", "can be no user or host"),
        ("ssh://$(id)/q", "can be no user or host"),
        ("ssh://beta/q%00", "that no socket can have"),
    ],
)
def test_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_ssh(text)


def test_a_host_alone() -> None:
    assert parse_ssh_host("ssh://me@beta:22") == parse_ssh_host("ssh://me@beta:22/")
    with pytest.raises(UsageError, match=r"write ssh://beta$"):
        parse_ssh_host("ssh://beta/run/q")


def test_as_written_and_as_words_of_ssh() -> None:
    uri = SshUri("2001:db8::1", "me", 22, "/q")
    assert str(uri) == "ssh://me@[2001:db8::1]:22/q"
    assert uri.login == "ssh://me@[2001:db8::1]:22"
    assert uri.words == ["-p", "22", "-l", "me", "--", "2001:db8::1"]
    assert SshUri("beta").words == ["--", "beta"]
