"""How long real QEMUs' guests stand still, and what is done where a migration stalls."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import psutil
import pytest
from migrating import MIB, Pair, run_state, until

from ramferry.bench import boot_sector
from ramferry.bench.qemu import Qemu
from ramferry.bench.rig import Load, Rig
from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.course import migrate
from ramferry.control.migrate.on_stall import OnStall
from ramferry.control.migrate.relay_mode import RelayMode
from ramferry.control.migrate.wish import Wish
from ramferry.errors import Cancelled, MigrationFailed
from ramferry.forecast.eta import MigrationSample
from ramferry.metrics import MigrationResult

pytestmark = pytest.mark.interop

BOTH = pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
WISH = Wish("none", channels=2, relay=RelayMode.BOTH)
BUSY = Load(200e6, 24 * MIB)
"""Written over and over, at once …"""
STALLS = replace(WISH, max_bandwidth=25_000_000, stall_seconds=1.5)
"""… and too much for the limit: a second's worth."""


@contextmanager
def ends(pair: Pair, memory: int, load: Load) -> Iterator[tuple[Rig, Qemu]]:
    """A source whose guest runs, and a destination that will run it."""
    with (
        Rig(pair.source, pair.destination, memory, load=load) as rig,
        rig.fresh() as destination,
    ):
        yield rig, destination


def carried(
    rig: Rig,
    destination: Qemu,
    wish: Wish,
    notes: list[str],
    on_sample: Callable[[MigrationSample], None] = lambda _: None,
) -> MigrationResult:
    hooks = Hooks(on_note=notes.append, on_sample=on_sample)
    return migrate(rig.source.uri, destination.uri, wish, hooks, timeout=90)


def assert_beats(qemu: Qemu) -> None:
    """The guest does not only count as running: it writes."""
    assert run_state(qemu) == "running"
    before = boot_sector.state(qemu.ram).beats
    until("the guest's next beat", lambda: boot_sector.state(qemu.ram).beats > before, 10)


def limits(rig: Rig) -> dict[str, object]:
    found: dict[str, object] = rig.source.qmp.execute("query-migrate-parameters")
    names = ("downtime-limit", "max-cpu-throttle", "cpu-throttle-initial", "cpu-throttle-increment")
    return {name: found[name] for name in names}


@BOTH
def test_an_idle_guest_stands_still_for_a_part_of_what_is_allowed(pair: Pair) -> None:
    """With the whole of 2 s from the beginning it would be gone as soon as a quarter was sent."""
    notes: list[str] = []
    with ends(pair, 256 * MIB, Load()) as (rig, destination):
        before = limits(rig)
        wish = replace(WISH, max_bandwidth=100_000_000, downtime_limit_ms=2000)
        result = carried(rig, destination, wish, notes)
        assert limits(rig) == before
        assert_beats(destination)
    # it was given 200, and takes longer where others are at work
    assert result.downtime_ms < 1200
    assert result.downtime_limit_ms == 200
    assert notes == []


@BOTH
def test_a_guest_that_needs_all_that_is_allowed_gets_it(pair: Pair) -> None:
    with ends(pair, 96 * MIB, BUSY) as (rig, destination):
        before = limits(rig)
        wish = replace(STALLS, downtime_limit_ms=3000, stall_seconds=60)
        result = carried(rig, destination, wish, [])
        assert limits(rig) == before
        assert_beats(destination)
    assert result.downtime_limit_ms is not None
    assert result.downtime_limit_ms > 300
    assert result.downtime_ms <= 3300


@BOTH
def test_a_stalled_guest_that_is_paused_runs_where_it_arrives(pair: Pair) -> None:
    notes: list[str] = []
    with ends(pair, 96 * MIB, BUSY) as (rig, destination):
        result = carried(rig, destination, replace(STALLS, on_stall=OnStall.PAUSE), notes)
        assert_beats(destination)
        # the status is final a moment before
        until("postmigrate", lambda: run_state(rig.source) == "postmigrate", 10)
    assert result.stalled is not None
    assert result.stalled.action == "pause"
    assert result.downtime_ms > 300
    (note,) = notes
    assert note.endswith("the guest is stopped for the rest, and goes on where it arrives")


@BOTH
def test_a_stalled_migration_is_cancelled(pair: Pair) -> None:
    with ends(pair, 96 * MIB, BUSY) as (rig, destination):
        with pytest.raises(Cancelled, match=r"^cancelled, as the migration stalls: .* source$"):
            carried(rig, destination, replace(STALLS, on_stall=OnStall.CANCEL), [])
        assert_beats(rig.source)


@BOTH
def test_a_stalled_guest_is_throttled_and_what_it_lost_is_told(pair: Pair) -> None:
    shares: list[int] = []
    with ends(pair, 64 * MIB, Load(40e6, 16 * MIB)) as (rig, destination):
        before = limits(rig)
        result = carried(
            rig,
            destination,
            # half of what it writes even if it loses ticks of its clock to others
            replace(STALLS, on_stall=OnStall.THROTTLE, max_bandwidth=12_500_000),
            [],
            lambda sample: shares.append(sample.throttle_percent),
        )
        assert limits(rig) == before
        assert_beats(destination)
    stalled = result.stalled
    assert stalled is not None
    assert max(shares) == stalled.most_percent
    assert stalled.most_percent >= 10
    assert 0 < stalled.lost_seconds < result.total_time_ms / 1000


@BOTH
def test_a_guest_that_was_paused_goes_on_if_a_relay_dies(pair: Pair) -> None:
    """The rest takes seconds, so that the relay dies while the guest stands still for it."""
    notes: list[str] = []
    wish = replace(STALLS, on_stall=OnStall.PAUSE, max_bandwidth=8_000_000)
    with ends(pair, 64 * MIB, Load(200e6, 24 * MIB)) as (rig, destination):
        killed = threading.Event()

        def kill(_: MigrationSample) -> None:
            if notes and not killed.is_set() and run_state(rig.source) == "paused":
                killed.set()
                relay_of_source().send_signal(signal.SIGKILL)

        with pytest.raises(MigrationFailed, match="the guest runs at the source"):
            carried(rig, destination, wish, notes, kill)
        assert killed.is_set()
        assert_beats(rig.source)


def relay_of_source() -> psutil.Process:
    """The relay of this process that was started last."""
    children = psutil.Process().children()
    return max(
        (child for child in children if "relay" in child.cmdline()),
        key=lambda child: child.create_time(),
    )
