"""Faults on the way between real QEMUs: both survive, and the guest goes on at its source.

Within twenty seconds of a damaged payload, a cut channel, a killed or ended relay, or a cancel, the
source's guest runs and its migration has failed, and the destination's monitor answers, or its
process has ended: it never waits for a SYNC that will not come.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from meddling import Meddler
from migrating import (
    CANCELLED,
    MIB,
    Pair,
    listen,
    prepare,
    run_state,
    status,
    two_qemus,
    until,
    wait_arrived,
)
from qemu_faults import once_more_if_qemu_fails, wait_let_go
from relaying import WAIT_SECONDS, Route

from covering import pairs_of
from fault_blows import Fault
from ramferry.bench import boot_sector
from ramferry.bench.fill import fill
from ramferry.bench.qemu import Qemu
from ramferry.control.migrate.relay_child import RelayChild
from ramferry.control.migrate.route import RelayStep
from ramferry.errors import RamferryError
from ramferry.transport.address import TcpAddress, UnixAddress, parse_address

pytestmark = pytest.mark.interop

BOTH = ("stock", "10.0")
PAIRS = pytest.mark.parametrize("pair", BOTH, indirect=True)
MEMORY = 96 * MIB
BUSY = 16 * MIB
"""The upper part of RAM, which the guest keeps writing; the rest holds mixed data."""
CHANNELS = 2
BANDWIDTH = 24 * MIB
"""Bytes per second: the first round takes 4 s, and the fault hits in its first."""
SURVIVE_SECONDS = 20.0
"""It took 0.25 s at most, of 30 faults on two cores with nine processes that wanted to run; a host
that others use may hold it up for longer. Whoever waits for a SYNC does so for good."""
STRIKE_SECONDS = 20.0
AFTER = 200_000
"""Bytes of a channel, in whatever method, before the fault."""

SAME = Route(("zlib", "zlib"))
OTHER = Route(("zstd", "none"))
TWO = Route(("none", "qatzip", "none"))
TWO_SAME = Route(("none", "none", "none"))
LAST = {"unix": None, "tcp": "tcp:127.0.0.1:0"}
"""Where the destination listens."""


@dataclass
class Way:
    """A migration under way through relays, and perhaps a meddler before one of them."""

    source: Qemu
    destination: Qemu
    relays: list[RelayChild] = field(default_factory=list)
    """The source's first."""
    meddler: Meddler | None = None

    def moved(self) -> bool:
        """True where the last relay has carried enough to be in the middle of a round."""
        counters = self.relays[-1].counters
        return counters is not None and counters.bytes_in > AFTER * CHANNELS

    def results(self) -> list[str]:
        """Every relay's own sentence; none completed."""
        told = [relay.wait_finished(WAIT_SECONDS) for relay in self.relays]
        assert not [one for one in told if one is not None and one.completed]
        return [one.error for one in told if one is not None]


@contextmanager
def under_way(
    pair: Pair,
    route: Route,
    fault: Fault | None = None,
    place: int = 0,
    *,
    last: str | None = None,
) -> Iterator[Way]:
    """A running guest that is being migrated; a meddler stands before the relay ``place``.

    ``last`` is where the destination listens; a unix socket by default.
    """
    boot = boot_sector.boot_sector(MEMORY, first=MEMORY - BUSY, rate=4)
    with two_qemus(pair, MEMORY, boot=boot) as (source, destination), ExitStack() as stack:
        fill(source.ram[boot_sector.FIRST : MEMORY - BUSY])
        source.qmp.execute("cont")
        until("the guest's first beats", lambda: boot_sector.state(source.ram).beats > 5, 20)
        way = Way(source, destination)
        uri = listen(destination, route.destination, CHANNELS, last)
        for index in range(len(route.methods) - 2, -1, -1):
            address = f"unix:{source.folder}/relay" if index == 0 else "tcp:127.0.0.1:0"
            relay = RelayChild(
                RelayStep(f"hop {index}", address, route.methods[index + 1]), uri, CHANNELS
            )
            stack.callback(relay.end)
            uri = relay.wait_listening()
            way.relays.insert(0, relay)
            if fault is not None and index == place:
                way.meddler = meddler_before(uri, str(source.folder), fault)
                stack.callback(way.meddler.close)
                uri = str(way.meddler.address)
        prepare(source, route.source, CHANNELS, {"max-bandwidth": BANDWIDTH})
        source.qmp.execute("migrate", {"uri": uri})
        yield way


def meddler_before(uri: str, folder: str, fault: Fault) -> Meddler:
    target = parse_address(uri)
    place = TcpAddress("127.0.0.1", 0)
    listen_at = UnixAddress(f"{folder}/meddler") if isinstance(target, UnixAddress) else place
    return Meddler(listen_at, target, fault, channel=1, at=AFTER)


def assert_both_survive(way: Way, since: float, ended: Collection[str] = ("failed",)) -> None:
    """The source's guest runs, the destination answers or has ended, in time."""
    deadline = since + SURVIVE_SECONDS
    until(
        f"the migration {' or '.join(ended)}, the guest running",
        lambda: status(way.source) in ended and run_state(way.source) == "running",
        max(deadline - time.monotonic(), 0.1),
    )
    until(
        "the destination's answer or end",
        lambda: not way.destination.alive or answers(way.destination),
        max(deadline - time.monotonic(), 0.1),
    )
    beats = boot_sector.state(way.source.ram).beats
    until("life at the source", lambda: boot_sector.state(way.source.ram).beats > beats + 5, 5)
    if way.destination.alive:
        assert boot_sector.state(way.destination.ram).beats <= beats
        assert run_state(way.destination) != "running"
    assert way.source.alive


def answers(qemu: Qemu) -> bool:
    try:
        qemu.qmp.execute("query-status", timeout=SURVIVE_SECONDS)
    except RamferryError:
        # on its way out, or hung: the deadline tells
        return False
    return True


@pairs_of(
    {"pair": BOTH, "route": (SAME, OTHER), "fault": ("garbage", "cut"), "last": ("unix", "tcp")},
    indirect=["pair"],
)
def test_a_fault_before_a_lone_relay(pair: Pair, route: Route, fault: Fault, last: str) -> None:
    """Over TCP nobody knows what the destination has read, only what its host has."""
    with under_way(pair, route, fault, last=LAST[last]) as way:
        assert way.meddler is not None
        assert way.meddler.struck.wait(STRIKE_SECONDS)
        assert_both_survive(way, way.meddler.struck_at)
        (sentence,) = way.results()
        # of a cut channel the source may tell first, by closing all others
        assert sentence.startswith("multifd 1" if fault == "garbage" else ("multifd ", "main: "))


@pairs_of({"pair": BOTH, "route": (TWO, TWO_SAME), "fault": ("cut", "reset")}, indirect=["pair"])
def test_a_channel_is_cut_between_two_relays(pair: Pair, route: Route, fault: Fault) -> None:
    with under_way(pair, route, fault, place=1) as way:
        assert way.meddler is not None
        assert way.meddler.struck.wait(STRIKE_SECONDS)
        assert_both_survive(way, way.meddler.struck_at)
        first, second = way.results()
        # whoever sees the cut first ends all channels: which of them the other sees end is chance
        assert first.startswith(("multifd ", "main: "))
        assert second.startswith(("multifd ", "main: "))


@PAIRS
def test_a_payload_is_damaged_between_two_relays(pair: Pair) -> None:
    with under_way(pair, TWO, "garbage", place=1) as way:
        assert way.meddler is not None
        assert way.meddler.struck.wait(STRIKE_SECONDS)
        assert_both_survive(way, way.meddler.struck_at)
        sentences = way.results()
        assert sentences[1].startswith("multifd 1 packet ")


@pairs_of(
    {
        "pair": BOTH,
        "route": (TWO, TWO_SAME),
        "victim": (0, 1),
        "number": (signal.SIGKILL, signal.SIGTERM),
    },
    indirect=["pair"],
)
def test_a_relay_is_ended_in_a_round(
    pair: Pair, route: Route, victim: int, number: signal.Signals
) -> None:
    with under_way(pair, route) as way:
        until("pages on their way", way.moved, STRIKE_SECONDS)
        struck_at = time.monotonic()
        os.kill(way.relays[victim].pid, number)
        assert_both_survive(way, struck_at)
        sentences = way.results()
        if number is signal.SIGTERM:
            expected = "cancelled: SIGTERM; the guest stays at the source"
            assert expected in sentences
            assert len(sentences) == 2
        else:
            assert len(sentences) == 1


@PAIRS
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lone_relay_is_ended_in_a_round(pair: Pair, number: signal.Signals) -> None:
    with under_way(pair, OTHER) as way:
        until("pages on their way", way.moved, STRIKE_SECONDS)
        struck_at = time.monotonic()
        os.kill(way.relays[0].pid, number)
        assert_both_survive(way, struck_at)


@PAIRS
@pytest.mark.parametrize("route", [OTHER, TWO], ids=str)
def test_a_cancel_in_a_round(pair: Pair, route: Route) -> None:
    with under_way(pair, route) as way:
        until("pages on their way", way.moved, STRIKE_SECONDS)
        struck_at = time.monotonic()
        way.source.qmp.execute("migrate_cancel")
        assert_both_survive(way, struck_at, CANCELLED)
        for sentence in way.results():
            # a source that cancels ends all channels at once, also in the middle of a payload
            assert "the source" in sentence or "received end of stream" in sentence


@PAIRS
def test_the_destination_is_killed_in_a_round(pair: Pair) -> None:
    with under_way(pair, OTHER) as way:
        until("pages on their way", way.moved, STRIKE_SECONDS)
        struck_at = time.monotonic()
        os.kill(way.destination.pid, signal.SIGKILL)
        assert_both_survive(way, struck_at)
        (sentence,) = way.results()
        assert "the destination" in sentence


@PAIRS
def test_port_probes_disturb_nobody(pair: Pair) -> None:
    """Before, during and behind each relay's own door; a real QEMU would die of one."""

    def probe(way: Way) -> None:
        for relay in way.relays:
            address = parse_address(relay.uri)
            for word in (b"", b"GET / HTTP/1.1\r\n\r\n", bytes.fromhex("160301")):
                with knock(address) as sock:
                    sock.sendall(word)

    with under_way(pair, TWO) as way:
        probe(way)
        until("pages on their way", way.moved, STRIKE_SECONDS)
        probe(way)
        way.source.qmp.execute("migrate-set-parameters", {"max-bandwidth": 0})
        until("completion", lambda: status(way.source) == "completed", 30)
        wait_arrived(way.destination)
        results = [relay.wait_finished(WAIT_SECONDS) for relay in way.relays]
        assert all(result is not None and result.completed for result in results)
        assert np.array_equal(
            way.source.ram[boot_sector.FIRST :], way.destination.ram[boot_sector.FIRST :]
        )


def knock(address: TcpAddress | UnixAddress) -> socket.socket:
    if isinstance(address, TcpAddress):
        return socket.create_connection((address.host, address.port))
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(address.path)
    return sock


@PAIRS
@once_more_if_qemu_fails
def test_after_a_failure_the_same_source_migrates(pair: Pair) -> None:
    """The source is as it was: with a whole way before it, its guest arrives."""
    with under_way(pair, OTHER) as way:
        until("pages on their way", way.moved, STRIKE_SECONDS)
        os.kill(way.relays[0].pid, signal.SIGKILL)
        assert_both_survive(way, time.monotonic())
        wait_let_go(way.source)
        boot = boot_sector.boot_sector(MEMORY, first=MEMORY - BUSY, rate=4)
        arguments = {"machine": pair.machine, "boot": boot, "incoming": True}
        with Qemu(pair.destination, MEMORY, **arguments) as fresh:  # type: ignore[arg-type]
            uri = listen(fresh, OTHER.destination, CHANNELS)
            step = RelayStep("second", f"unix:{way.source.folder}/again", OTHER.destination)
            relay = RelayChild(step, uri, CHANNELS)
            try:
                again: Callable[[], bool] = lambda: status(way.source) == "completed"  # noqa: E731
                way.source.qmp.execute("migrate-set-parameters", {"max-bandwidth": 0})
                way.source.qmp.execute("migrate", {"uri": relay.wait_listening()})
                until("completion", again, 30)
                wait_arrived(fresh)
                verdict = boot_sector.verify(fresh.ram)
                assert verdict.ok, verdict
            finally:
                relay.end()
