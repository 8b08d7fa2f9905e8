"""Pairs of real QEMUs for the interop tests.

``stock`` is the QEMU on the PATH (7.2 on Debian 12), ``10.0`` the one that tools/peers.sh fetches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from guests import COMMANDS
from libvirting import LibvirtHosts, libvirt_hosts, newer, stock
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


LIBVIRTS = {"stock": stock, "newer": newer}


@pytest.fixture(scope="module", params=["stock"])
def libvirts(
    request: pytest.FixtureRequest, find_peer: Callable[[str], Path]
) -> Iterator[LibvirtHosts]:
    """Two hosts with the libvirt and the QEMU of the PATH, or the newer ones of build/peers, for
    all tests of a module; tests ask for one of LIBVIRTS indirectly."""
    find_peer("ssh")
    with libvirt_hosts(LIBVIRTS[request.param](find_peer), find_peer("sshd")) as made:
        yield made
