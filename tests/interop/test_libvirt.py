"""A stock ``virsh migrate`` between two libvirtds, through relays that were started by hand."""

from __future__ import annotations

import numpy as np
import pytest
from libvirt_relays import ALPHA, BETA, HostRelay, relay_pair
from libvirting import MIB, SYSTEM, Domain, LibvirtHosts, domain
from sshing import TAKES_ROOT

pytestmark = [pytest.mark.interop, TAKES_ROOT]

PORT = 49300
PATH = "/var/lib/libvirt/qemu/ramferry.sock"
PARALLEL = ("--parallel", "--parallel-connections", "8")
TCP = ("--migrateuri", f"tcp:127.0.0.1:{PORT}", "--listen-address", "127.0.0.1")
UNIX = ("--migrateuri", f"unix://{PATH}")
ENDS = {
    "tcp": (f"tcp:127.0.0.1:{PORT}", f"tcp:127.0.0.1:{PORT}"),
    "unix": (f"unix:{PATH}", f"unix:{PATH}"),
}


def migrate(hosts: LibvirtHosts, guest: Domain, *options: object) -> None:
    """Migrate a guest from alpha to beta, where it runs then with the memory that it had."""
    ram = guest.ram(ALPHA)
    ended = hosts.virsh(
        ALPHA, "migrate", "--live", *options, guest.name, SYSTEM.format(BETA), seconds=90
    )
    assert ended.returncode == 0, ended.stderr
    assert guest.state(ALPHA) == ""
    assert guest.runs(BETA)
    assert np.array_equal(ram[MIB:], guest.ram(BETA)[MIB:])


def carried(relays: tuple[HostRelay, HostRelay], count: int, channels: int) -> None:
    """Both relays have carried ``count`` migrations, each with so many channels."""
    for relay in relays:
        for result in relay.results(count):
            assert result.completed, result.error
            assert result.channels == channels
    for result in relays[0].results(count):
        assert result.method_out == "qatzip"
        assert result.counters.ratio > 2


@pytest.mark.parametrize("libvirts", ["stock", "newer"], indirect=True)
@pytest.mark.parametrize(
    ("way", "options"),
    [("tcp", TCP), ("unix", UNIX), ("unix", (*UNIX, "--p2p"))],
    ids=["tcp", "unix", "p2p"],
)
def test_a_guest_is_at_the_far_end(
    libvirts: LibvirtHosts, way: str, options: tuple[str, ...]
) -> None:
    with relay_pair(libvirts, *ENDS[way]) as relays, domain(libvirts) as guest:
        migrate(libvirts, guest, *PARALLEL, *options)
        carried(relays, 1, 8)
