"""Hosts: what starts a command there, and what a QEMU there can connect to."""

from __future__ import annotations

import pytest

from ramferry.control.hosts.host import HERE, Elsewhere, Host, Namespace
from ramferry.errors import HostError

APART = Namespace("a", "192.0.2.2")


@pytest.mark.parametrize(
    ("host", "line"),
    [(HERE, ["relay"]), (APART, ["nsenter", "--net=/run/netns/a", "--", "relay"])],
)
def test_what_starts_a_command(host: Host, line: list[str]) -> None:
    assert host.starts
    assert host.command(["relay"]) == line


def test_nothing_is_started_elsewhere() -> None:
    assert not Elsewhere().starts
    with pytest.raises(HostError, match="relay cannot be started on another host"):
        Elsewhere().command(["relay"])


@pytest.mark.parametrize("uri", ["unix:/run/relay", "tcp:127.0.0.1:4444"])
def test_what_is_of_this_host_alone_is_not_reached_from_elsewhere(uri: str) -> None:
    assert HERE.reaches(uri)
    assert APART.reaches(uri)
    assert not Elsewhere().reaches(uri)
    assert Elsewhere().reaches("tcp:10.0.0.2:4444")
