"""A stock ``virsh migrate`` between two libvirtds, through relays that were started by hand."""

from __future__ import annotations

import os

import numpy as np
import pytest
from libvirt_files import QEMU_USER
from libvirt_relays import ALPHA, BETA, HostRelay, relay, relay_pair
from libvirting import MIB, SYSTEM, Domain, LibvirtHosts, domain
from migrating import PAGE
from sshing import TAKES_ROOT, until

from ramferry.bench.boot_sector import state, verify

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
    for each in relays:
        for result in each.results(count):
            assert result.completed, result.error
            assert result.channels == channels
    for result in relays[0].results(count):
        assert result.method_out == "qatzip"
        assert result.counters.ratio > 2


SLOW = pytest.mark.slow
NEWER = pytest.mark.parametrize("libvirts", ["newer"], indirect=True)


@pytest.mark.parametrize(
    ("libvirts", "way", "options"),
    [
        pytest.param("stock", "tcp", TCP, id="tcp"),
        pytest.param("stock", "unix", UNIX, id="unix"),
        pytest.param("stock", "unix", (*UNIX, "--p2p"), id="p2p", marks=SLOW),
        pytest.param("newer", "tcp", TCP, id="tcp-newer", marks=SLOW),
        pytest.param("newer", "unix", UNIX, id="unix-newer", marks=SLOW),
        pytest.param("newer", "unix", (*UNIX, "--p2p"), id="p2p-newer"),
    ],
    indirect=["libvirts"],
)
def test_a_guest_is_at_the_far_end(
    libvirts: LibvirtHosts, way: str, options: tuple[str, ...]
) -> None:
    with relay_pair(libvirts, *ENDS[way]) as relays, domain(libvirts) as guest:
        migrate(libvirts, guest, *PARALLEL, *options)
        carried(relays, 1, 8)


@NEWER
def test_a_guest_that_writes_has_its_memory_at_the_far_end(libvirts: LibvirtHosts) -> None:
    with (
        relay_pair(libvirts, *ENDS["unix"]) as relays,
        domain(libvirts, rate=4.0) as guest,
    ):
        until("a second pass", lambda: state(guest.ram(ALPHA)).written > 32 * MIB // PAGE)
        ended = libvirts.virsh(
            ALPHA, "migrate", "--live", *PARALLEL, *UNIX, guest.name, SYSTEM.format(BETA)
        )
        assert ended.returncode == 0, ended.stderr
        assert guest.runs(BETA)
        assert libvirts.virsh(BETA, "suspend", guest.name).returncode == 0
        assert verify(guest.ram(BETA)).ok
        carried(relays, 1, 8)


def test_a_relay_for_the_way_back_stands_at_the_destinations_own_path(
    libvirts: LibvirtHosts,
) -> None:
    """QEMU takes its socket away; libvirt gave it to QEMU's user when it was last used."""
    with relay_pair(libvirts, *ENDS["unix"]) as relays, domain(libvirts) as guest:
        back = relay(libvirts, BETA, f"unix:{PATH}", "tcp:192.0.2.1:1", "--method", "none")
        os.chown(libvirts.own(BETA, PATH), QEMU_USER, QEMU_USER)
        migrate(libvirts, guest, *PARALLEL, *UNIX)
        carried(relays, 1, 8)
        until("it listens again", lambda: "listening there again" in back.words())
        assert libvirts.own(BETA, PATH).stat().st_uid == QEMU_USER
        assert back.alive
        back.process.terminate()
        back.process.wait(30)
    assert not libvirts.own(BETA, PATH).exists()


@NEWER
@SLOW
def test_the_method_that_libvirt_sets_is_the_far_relays_too(libvirts: LibvirtHosts) -> None:
    compressed = ("--compressed", "--comp-methods", "zstd")
    with relay_pair(libvirts, *ENDS["unix"]) as relays, domain(libvirts) as guest:
        line = ("migrate", "--live", *PARALLEL, *compressed, *UNIX, guest.name)
        ended = libvirts.virsh(ALPHA, *line, SYSTEM.format(BETA))
        assert ended.returncode == 1
        assert guest.runs(ALPHA)
        assert libvirts.domains(BETA) == {}
        for each in relays:
            each.results(1)
            assert "if its multifd-compression is not none" in each.words()


@pytest.mark.parametrize("libvirts", ["stock", pytest.param("newer", marks=SLOW)], indirect=True)
def test_a_guest_without_channels_is_at_the_far_end(libvirts: LibvirtHosts) -> None:
    """One plain stream, which the relays send over connections of their own."""
    with relay_pair(libvirts, *ENDS["unix"]) as relays, domain(libvirts) as guest:
        migrate(libvirts, guest, *UNIX)
        carried(relays, 1, 0)
        for each in relays:
            (result,) = each.results(1)
            assert (result.kind, result.streams) == ("plain", 4)
            assert "of pages of a plain stream as" in each.words()
