"""Addresses seen from here, from there, and with a port chosen late."""

import pytest

from ramferry.control.hosts.addresses import (
    connectable,
    is_here_only,
    port_is_open,
    relay_uri,
    with_port_of,
)
from ramferry.errors import UsageError


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("far:4400", "tcp:far:4400"),
        ("[fd00::2]:4400", "tcp:[fd00::2]:4400"),
        ("tcp:far:4400", "tcp:far:4400"),
        ("unix:/run/relay", "unix:/run/relay"),
    ],
)
def test_via_names_a_relay(text: str, uri: str) -> None:
    assert relay_uri(text) == uri


@pytest.mark.parametrize("text", ["far", "far:0", ":4400", "0.0.0.0:4400", "far:99999"])
def test_via_must_be_a_place_to_connect_to(text: str) -> None:
    with pytest.raises(UsageError):
        relay_uri(text)


def test_a_wildcard_is_reached_by_the_hosts_name() -> None:
    assert connectable("tcp:0.0.0.0:1", "far") == "tcp:far:1"
    assert connectable("tcp::1", "far") == "tcp:far:1"
    assert connectable("tcp:[::]:1", "fd00::2") == "tcp:[fd00::2]:1"
    assert connectable("tcp:near:1", "far") == "tcp:near:1"
    assert connectable("unix:/d", "far") == "unix:/d"


def test_a_port_that_the_listener_chooses() -> None:
    assert port_is_open("tcp:far:0")
    assert not port_is_open("tcp:far:1")
    assert not port_is_open("unix:/d")
    assert with_port_of("tcp:far:0", "tcp:0.0.0.0:4455") == "tcp:far:4455"


@pytest.mark.parametrize(
    ("uri", "here"),
    [
        ("unix:/d", True),
        ("tcp:127.0.0.1:1", True),
        ("tcp:[::1]:1", True),
        ("tcp:localhost:1", True),
        ("tcp:10.0.0.2:1", False),
    ],
)
def test_what_another_host_cannot_reach(uri: str, here: bool) -> None:
    assert is_here_only(uri) is here
