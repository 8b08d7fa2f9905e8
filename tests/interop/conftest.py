"""Pairs of real QEMUs for the interop tests.

``stock`` is the QEMU on the PATH (7.2 on Debian 12), ``10.0`` the one that tools/peers.sh fetches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from guests import COMMANDS
from libvirting import Libvirt, LibvirtHosts, libvirt_hosts
from migrating import Pair
from sshing import TwoHosts, two_hosts

from ramferry.bench.qemu import qemu_at

PAIRS = {
    "stock": ("stock", "stock"),
    "10.0": ("10.0", "10.0"),
    "stock-10.0": ("stock", "10.0"),
}


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest, require_peer: Callable[[str], Path]) -> Pair:
    """Source and destination; tests run with each of PAIRS, or those they name indirectly."""
    source, destination = PAIRS[request.param]
    return Pair(
        qemu_at(require_peer(COMMANDS[source])), qemu_at(require_peer(COMMANDS[destination]))
    )


@pytest.fixture
def hosts(require_peer: Callable[[str], Path]) -> Iterator[TwoHosts]:
    """Two hosts; the far one has an sshd."""
    require_peer("ssh")
    with two_hosts(require_peer("sshd")) as made:
        made.sshd()
        yield made


@pytest.fixture(scope="module")
def libvirts(find_peer: Callable[[str], Path]) -> Iterator[LibvirtHosts]:
    """Two hosts with the libvirt and the QEMU of the PATH, for all tests of a module."""
    find_peer("ssh")
    libvirt = Libvirt(
        find_peer("libvirtd"), find_peer("virsh"), qemu_at(find_peer(COMMANDS["stock"]))
    )
    with libvirt_hosts(libvirt, find_peer("sshd")) as made:
        yield made
