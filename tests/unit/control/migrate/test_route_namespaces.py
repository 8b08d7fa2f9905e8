"""Two network namespaces for two hosts: what listens where, and what runs where."""

from __future__ import annotations

from dataclasses import replace

import test_route

from ramferry.control.hosts.host import Namespace
from ramferry.control.migrate.relay_child import relay_arguments
from ramferry.control.migrate.route import RelayMode, Wish, plan

NEAR = replace(test_route.HERE, host=Namespace("near", "192.0.2.1"))
FAR = replace(test_route.HERE, host=Namespace("far", "192.0.2.2"))


def test_each_relay_runs_on_its_side_and_the_link_lies_between() -> None:
    wish = Wish("qatzip", relay=RelayMode.BOTH)
    route = plan(NEAR, FAR, wish, test_route.SOCKETS)
    far, near = route.relays
    assert (far.listen, far.host) == ("relay:192.0.2.2:0", FAR.host)
    assert (near.listen, near.host) == (test_route.S, NEAR.host)
    assert route.incoming == test_route.TO_DST
    line = near.host.command(relay_arguments(near, far.listen, 8))
    assert line[:3] == ["nsenter", "--net=/run/netns/near", "--"]


def test_without_relays_the_destination_listens_on_its_side() -> None:
    wish = Wish("zstd", relay=RelayMode.NONE)
    route = plan(NEAR, FAR, wish, test_route.SOCKETS)
    assert route.incoming == route.address == "tcp:192.0.2.2:0"
