"""The way of a libvirt domain: relays at both ends of one path."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from ramferry.control.hosts.contract import Host
from ramferry.control.migrate.domain_route import (
    DomainWish,
    move_of,
    plan_domain,
    socket_path,
)
from ramferry.control.migrate.limits import GRACE_SECONDS, POLL_SECONDS
from ramferry.control.migrate.relay_mode import RelayMode
from ramferry.control.migrate.wish import Wish
from ramferry.errors import UsageError

WISH = DomainWish(Wish("qatzip", 3, max_bandwidth=7))
SYSTEM, TO = "qemu:///system", "qemu+ssh://beta/system"


class Far:
    """A host by ssh."""

    apart = True
    address = "192.0.2.2"

    def meeting(self) -> str:
        return "relay:192.0.2.2:4444"

    def may_accelerate(self, _: str) -> bool:
        return False


FAR = cast("Host", Far())


def relays(**change: object) -> DomainWish:
    return replace(WISH, relays=replace(WISH.relays, **change))  # type: ignore[arg-type]


def test_relays_on_both_hosts() -> None:
    route = plan_domain(TO, "/x/y", WISH.relays, FAR)
    far, near = route.relays
    assert (far.side, far.listen, far.method, far.host) == (
        "destination",
        "relay:192.0.2.2:4444",
        "none",
        FAR,
    )
    assert (near.side, near.listen, near.method, near.level) == ("source", "unix:/x/y", "qatzip", 3)
    assert (near.max_bandwidth, near.member_size) == (7, "packet")
    # longer than it takes to see the far relay's end and to abort the job
    assert near.hold_source > GRACE_SECONDS + POLL_SECONDS
    assert far.hold_source == 0
    assert (route.address, route.name) == ("unix:/x/y", "relay pair")


def test_a_relay_that_runs_there_already() -> None:
    wish = replace(WISH.relays, via="relay:beta:4444", tls_creds="/pki", decide=5.0)
    route = plan_domain("qemu+tls://beta/system", "/x/y", wish, None)
    (near,) = route.relays
    assert route.address == "relay:beta:4444"
    assert (near.listen, near.tls_creds, near.decide) == ("unix:/x/y", "/pki", 5.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"relay": RelayMode.NONE}, "leave out --relay none"),
        ({"tls_creds": "/pki"}, "leave out --tls-creds"),
        ({"insecure": True}, "leave out --insecure"),
        ({"method": "zstd", "accelerator": "require"}, "--accelerator require is for method qat"),
        (
            {"method": "auto", "level": None, "accelerator": "require"},
            "--method auto takes a device where one pays",
        ),
    ],
)
def test_what_contradicts_relays_on_both_hosts(change: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plan_domain(TO, "/x/y", relays(**change).relays, FAR)


def test_the_path() -> None:
    path = socket_path(SYSTEM, WISH)
    assert path.startswith("/var/lib/libvirt/qemu/ramferry-")
    assert path != socket_path(SYSTEM, WISH)
    given = replace(WISH, socket_folder="/srv")
    assert socket_path("qemu:///session", given).startswith("/srv/ramferry-")
    assert socket_path(SYSTEM, relays(via="relay:b:1", incoming="unix:/x/y")) == "/x/y"


@pytest.mark.parametrize(
    ("connection", "wish", "said"),
    [
        ("qemu:///session", WISH, "name one, that is there on both hosts, with --socket-folder"),
        (SYSTEM, replace(WISH, socket_folder="srv"), "name it from / on"),
        (SYSTEM, relays(via="relay:b:1"), "with --via, say where the destination QEMU is to"),
        (SYSTEM, relays(incoming="tcp:b:1"), "meet their relays at a socket"),
        (
            SYSTEM,
            replace(relays(incoming="unix:/x"), socket_folder="/srv"),
            "or --socket-folder, or neither",
        ),
    ],
)
def test_no_path(connection: str, wish: DomainWish, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        socket_path(connection, wish)


def test_what_libvirt_is_asked() -> None:
    move = move_of(WISH, "/x/y", FAR)
    assert (move.migrate_uri, move.channels, move.disks_uri) == ("unix:///x/y", 8, "")
    copies = replace(WISH, copy_storage="all", persistent=True)
    assert move_of(copies, "/x/y", FAR).disks_uri == "tcp://192.0.2.2"
    assert move_of(copies, "/x/y", FAR).persistent
    assert move_of(replace(copies, disks_uri="tcp://c:1"), "/x/y", None).disks_uri == "tcp://c:1"
    with pytest.raises(UsageError, match="name it with --disks-uri tcp://HOST"):
        move_of(copies, "/x/y", None)
