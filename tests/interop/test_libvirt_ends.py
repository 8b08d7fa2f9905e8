"""A stock ``virsh migrate`` through relays that is aborted, or whose relay is killed."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from libvirt_relays import ALPHA, BETA, HostRelay, end, relay, relay_pair
from libvirting import SYSTEM, Domain, LibvirtHosts, domain
from qemu_faults import once_more_if_qemu_fails, raise_known
from sshing import TAKES_ROOT, until

pytestmark = [pytest.mark.interop, TAKES_ROOT]

PATH = "/var/lib/libvirt/qemu/ramferry.sock"
SLOWLY = ("--max-bandwidth", "2M")
"""A guest of these tests has some 19 MB to send then."""
SOON = 30.0
"""Seconds within which virsh has ended after a blow; about one where nobody else is at work."""
Pair = tuple[HostRelay, HostRelay]

BOTH = pytest.mark.parametrize(
    "libvirts", ["stock", pytest.param("newer", marks=pytest.mark.slow)], indirect=True
)


def abort(hosts: LibvirtHosts, guest: Domain, _: Pair) -> None:
    """As an operator does."""
    ended = hosts.virsh(ALPHA, "domjobabort", guest.name)
    assert ended.returncode == 0, ended.stderr


BLOWS: dict[str, Callable[[LibvirtHosts, Domain, Pair], None]] = {
    "abort": abort,
    "near": lambda _hosts, _guest, relays: relays[0].kill(),
    "far": lambda _hosts, _guest, relays: relays[1].kill(),
}


WAYS = {"channels": ("--parallel",), "plain": ()}


@contextmanager
def under_way(hosts: LibvirtHosts, guest: Domain, way: str) -> Iterator[subprocess.Popen[str]]:
    """``virsh migrate``, while it is at work."""
    line = (hosts.libvirt.virsh, "-c", "qemu:///system", "migrate", "--live", *WAYS[way])
    where = ("--migrateuri", f"unix://{PATH}", guest.name, SYSTEM.format(BETA))
    with (hosts.folder / "virsh.log").open("w+") as log:
        process = hosts.start(ALPHA, *line, *where, stdout=log, stderr=log)
        yield process
        process.wait(SOON)
        log.seek(0)
        assert process.returncode == 1, log.read()


def at_work(hosts: LibvirtHosts, guest: Domain) -> bool:
    """Whether the source's QEMU was told to migrate: the destination has a domain by then."""
    return guest.name in hosts.domains(BETA)


@BOTH
@pytest.mark.parametrize("blow", BLOWS)
@pytest.mark.parametrize(
    ("way", "phase"),
    [
        pytest.param("channels", "first", marks=pytest.mark.slow),
        ("channels", "pages"),
        pytest.param("plain", "first", marks=pytest.mark.slow),
        pytest.param("plain", "pages", marks=pytest.mark.slow),
    ],
)
@once_more_if_qemu_fails
def test_the_guest_stays_and_goes_the_next_time(
    libvirts: LibvirtHosts, blow: str, way: str, phase: str
) -> None:
    """Nothing of it is left at the destination; what is left of the pair carries it then."""
    where = f"unix:{PATH}"
    with (
        domain(libvirts) as guest,
        relay_pair(libvirts, where, where, *SLOWLY) as relays,
    ):
        near, far = relays
        listens = far.uri
        if phase == "first":
            # nothing gets beyond the near relay: it waits for the far one's hello
            far.process.send_signal(signal.SIGSTOP)
        with under_way(libvirts, guest, way):
            if phase == "first":
                until("both QEMUs are at work", lambda: at_work(libvirts, guest))
            else:
                until("pages are on their way", lambda: near.pages() > 100)
            BLOWS[blow](libvirts, guest, relays)
            if phase == "first" and far.alive:
                far.process.send_signal(signal.SIGCONT)
        until("nothing left there", lambda: libvirts.domains(BETA) == {}, SOON)
        assert guest.runs(ALPHA)
        again(libvirts, guest, relays, listens, way)


def again(hosts: LibvirtHosts, guest: Domain, relays: Pair, listens: str, way: str) -> None:
    """Migrate through the same relays, or one in the place of the one that was killed."""
    near, far = relays
    uri, where = listens, f"unix:{PATH}"
    with ExitStack() as stack:  # the hosts outlive this test, and the next one's needs these places
        if not far.alive:
            far = relay(hosts, BETA, uri, where, "--method", "none", "--insecure")
            stack.callback(end, far)
        if not near.alive:
            near = relay(hosts, ALPHA, where, uri, "--method", "qatzip", "--insecure")
            stack.callback(end, near)
        line = ("--live", *WAYS[way], "--migrateuri", f"unix://{PATH}")
        ended = hosts.virsh(ALPHA, "migrate", *line, guest.name, SYSTEM.format(BETA), seconds=120)
        raise_known(ended.stderr, hosts.libvirt.emulator)
        assert ended.returncode == 0, ended.stderr
        assert hosts.domains(ALPHA) == {}
        assert guest.runs(BETA)
        for one in (near, far):
            one.wait_completed()
