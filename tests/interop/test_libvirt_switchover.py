"""A stock ``virsh migrate`` through relays that is struck in the switchover, with and without
``--parallel``.

A proxy before the destination's QEMU holds back what follows ram's END, or the answer. Whether the
guest ran anywhere meanwhile is seen in both memories, which outlive their QEMUs.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from holding import Held, Holder
from libvirt_relays import ALPHA, BETA, HostRelay, relay_pair
from libvirting import SYSTEM, Domain, LibvirtHosts, domain
from sshing import TAKES_ROOT, until

from ramferry.bench.boot_sector import state
from ramferry.transport.address import UnixAddress

pytestmark = [pytest.mark.interop, TAKES_ROOT]

PATH = "/var/lib/libvirt/qemu/ramferry.sock"
HELD = "/var/lib/libvirt/qemu/held.sock"
"""Where the destination's relay connects; the proxy goes on from there to PATH."""
DECIDE = ("--decide", "10")
"""Longer than a far relay on a busy host may be silent."""
WAYS = {"channels": ("--parallel",), "plain": ()}
SOON = 40.0


@dataclass
class Switchover:
    """One migration that is held in its switchover."""

    guest: Domain
    near: HostRelay
    far: HostRelay
    holder: Holder
    process: subprocess.Popen[str]
    rams: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    beats: int = 0
    """How far the guest had run when it stood still."""

    def hold(self) -> None:
        """Wait for the switchover, in which neither end runs its guest."""
        until("the switchover", self.holder.holding.is_set)
        self.rams = {host: self.guest.ram(host) for host in (ALPHA, BETA)}
        until("the source stands still", lambda: self.guest.state(ALPHA) == "paused")
        self.beats = state(self.rams[ALPHA]).beats

    def ends_at(self, host: str) -> None:
        """The guest runs at one of both, and never ran at the other one since the switchover."""
        hosts, other = self.guest.hosts, BETA if host == ALPHA else ALPHA
        code = self.process.wait(SOON)
        assert code == (host == ALPHA), self.said
        until(f"nothing left at {other}", lambda: hosts.domains(other) == {}, SOON)
        assert self.guest.runs(host), self.said
        assert state(self.rams[other]).beats <= self.beats

    @property
    def said(self) -> str:
        """All that virsh and the relays said."""
        log = (self.guest.hosts.folder / "virsh.log").read_text()
        return f"{log}\nnear: {self.near.words()}\nfar: {self.far.words()}"


@contextmanager
def switchover(hosts: LibvirtHosts, way: str, held: Held) -> Iterator[Switchover]:
    """A migration that is in its switchover."""
    with ExitStack() as stack:
        guest = stack.enter_context(domain(hosts))
        place = (UnixAddress(str(hosts.own(BETA, path))) for path in (HELD, PATH))
        holder = Holder(*place, held)
        pair = stack.enter_context(relay_pair(hosts, f"unix:{PATH}", f"unix:{HELD}", *DECIDE))
        stack.callback(holder.close)  # before the relays' end, which wait for what it holds
        line = (hosts.libvirt.virsh, "-c", "qemu:///system", "migrate", "--live", *WAYS[way])
        where = ("--migrateuri", f"unix://{PATH}", guest.name, SYSTEM.format(BETA))
        log = stack.enter_context((hosts.folder / "virsh.log").open("w"))
        process = hosts.start(ALPHA, *line, *where, stdout=log, stderr=log)
        on = Switchover(guest, *pair, holder, process)
        on.hold()
        yield on


def abort(on: Switchover) -> None:
    """As an operator does."""
    ended = on.guest.hosts.virsh(ALPHA, "domjobabort", on.guest.name)
    assert ended.returncode == 0, ended.stderr


SLOW = pytest.mark.slow
BOTH = pytest.mark.parametrize("way", [pytest.param("channels", marks=SLOW), "plain"])
LIBVIRTS = pytest.mark.parametrize(
    "libvirts", ["stock", pytest.param("newer", marks=SLOW)], indirect=True
)
HOLDS = pytest.mark.parametrize("held", [pytest.param("tail", marks=SLOW), "answer"])


@LIBVIRTS
@BOTH
@HOLDS
def test_an_aborted_job(libvirts: LibvirtHosts, way: str, held: Held) -> None:
    """libvirt has not let the destination's guest run, and does not then."""
    with switchover(libvirts, way, held) as on:
        abort(on)
        on.ends_at(ALPHA)


@LIBVIRTS
@BOTH
@HOLDS
def test_a_killed_near_relay(libvirts: LibvirtHosts, way: str, held: Held) -> None:
    """A process asks in its place, and the source hears that the guest has come."""
    with switchover(libvirts, way, held) as on:
        on.near.kill()
        assert on.guest.state(ALPHA) == "paused"
        on.holder.release()
        on.ends_at(BETA)
        told = "taken the guest over, and the source was told"
        until("a word of it", lambda: told in on.near.words(), SOON)


@LIBVIRTS
@BOTH
@SLOW
def test_a_killed_far_relay(libvirts: LibvirtHosts, way: str) -> None:
    """Nobody can say whether the guest has come: it stands still until somebody decides."""
    with switchover(libvirts, way, "answer") as on:
        on.far.kill()
        (result,) = on.near.results(1)
        assert result.exit_code == 9
        assert "the guest stands still at the source" in on.near.words()
        assert on.guest.state(ALPHA) == "paused"
        abort(on)
        on.ends_at(ALPHA)
