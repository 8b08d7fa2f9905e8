"""From what QEMU and the relays reported to samples and to the row of the result table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ramferry.codec import find_method
from ramferry.control.migrate.route import Route, Wish
from ramferry.control.qemu.probe import QemuFacts
from ramferry.forecast.eta import MigrationSample
from ramferry.metrics import MigrationResult, RelayCounters, RelayResult
from ramferry.metrics.stalled import Stalled
from ramferry.vocabulary import AUTO, LEVEL_PARAMETERS, PAGE_SIZE

NO_RATE = 1 << 62
"""11.1 reports 2^63 - 1 ms as expected downtime while it has no rate."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU time of each side over the total time, in % of one core; None if that side is on another
    host."""

    send_percent: float | None
    recv_percent: float | None


@dataclass(frozen=True, slots=True)
class Compressor:
    """What put the method on the wire: a relay's backend, or the source QEMU itself."""

    backend: str
    level: int | None
    member_size: int | None = None
    """As in ``RelayResult``."""


def compressor_of(
    sender: RelayResult | None, facts: QemuFacts, settings: Mapping[str, object], method: str
) -> Compressor:
    """
    :param sender: the source relay's result; None if the source QEMU compressed.
    :param settings: the migration parameters that the source QEMU ran with.
    """
    if sender is not None:
        return compressor_of_relay(sender, method)
    if method == "none":
        return Compressor(facts.name, None)
    level = settings.get(LEVEL_PARAMETERS.get(method, ""))
    return Compressor(f"{facts.name} {method}", level if isinstance(level, int) else None)


def compressor_of_relay(sender: RelayResult, method: str) -> Compressor:
    """What a source's relay put on the wire."""
    level = None if sender.choosing is not None else _level(method, sender.level)
    return Compressor(sender.backend, level, sender.member_size)


def _level(method: str, asked: int | None) -> int | None:
    """The level that was used: the default if none was asked for; None if the method has no
    levels, or each packet's was chosen."""
    if method == AUTO:
        return None
    found = find_method(method)
    return None if found.levels is None else found.level(asked)


def wire_bytes_of(
    info: Mapping[str, Any],
    facts: QemuFacts,
    method: str,
    source_relay: RelayCounters | None,
    destination_relay: RelayCounters | None,
) -> int | None:
    """Bytes on the wire between the two hosts, from the best counter there is; None if there is
    none.

    A relay counts what it sends or receives. QEMU 7.2 counts pages before compression: for ``none``
    that is what the wire carries without packet headers (0.3 % of a full packet), for the other
    methods it says nothing.
    """
    if source_relay is not None:
        return source_relay.bytes_out
    if destination_relay is not None:
        return destination_relay.bytes_in
    if method != "none" and not facts.counts_wire_bytes:
        return None
    return int(info.get("ram", {}).get("transferred", 0))


def sample_of(
    info: Mapping[str, Any], seconds: float, wire_bytes: int | None, choice: str = ""
) -> MigrationSample:
    """A sample from one ``query-migrate`` of the source; ``wire_bytes`` is None if nobody counted
    them, ``choice`` is as in ``MigrationSample``."""
    ram = info.get("ram", {})
    page = int(ram.get("page-size", PAGE_SIZE))
    normal = int(ram.get("normal", 0))
    dirtied = int(ram.get("dirty-pages-rate", 0))
    downtime = info.get("expected-downtime", NO_RATE)
    return MigrationSample(
        seconds=seconds,
        status=str(info.get("status", "none")),
        dirty_sync_count=int(ram.get("dirty-sync-count", 0)),
        total_bytes=int(ram.get("total", 0)),
        remaining_bytes=int(ram.get("remaining", 0)),
        carried_bytes=(normal + int(ram.get("duplicate", 0))) * page,
        normal_bytes=normal * page,
        dirty_rate=float(dirtied) * page,
        # without a rate QEMU tells its downtime-limit, and the built-in guest 0
        expected_downtime_ms=int(downtime) if dirtied and downtime < NO_RATE else None,
        wire_bytes=wire_bytes,
        disk_bytes=int(info.get("disk", {}).get("remaining", 0)),
        throttle_percent=int(info.get("cpu-throttle-percentage", 0)),
        choice=choice,
    )


@dataclass(frozen=True, slots=True)
class Beside:
    """What is known about a completed migration besides its source's ``query-migrate``."""

    wire_bytes: int | None
    compressor: Compressor
    cpu: Cpu
    relays: tuple[RelayResult, ...] = ()
    """The results of the relays on this host, the source's first."""
    downtime_limit_ms: int | None = None
    """As in ``MigrationResult``."""
    stalled: Stalled | None = None
    still_ms: int | None = None
    """How long the guest stood still if it was stopped for the rest, which QEMU does not count."""


def result_of(info: Mapping[str, Any], route: Route, wish: Wish, beside: Beside) -> MigrationResult:
    """The row of one completed migration.

    :param info: the source's last ``query-migrate``.
    :param beside: if its ``wire_bytes`` is None, the row has no throughput and no ratio either.
    """
    ram, sent = info["ram"], beside.wire_bytes
    total_time_ms = max(1, int(info["total-time"]))
    normal_bytes = int(ram["normal"]) * int(ram.get("page-size", 4096))
    return MigrationResult(
        name=wish.method,
        method=wish.method,
        level=beside.compressor.level,
        channels=wish.channels,
        route=route.name,
        total_time_ms=total_time_ms,
        downtime_ms=max(int(info.get("downtime", 0)), beside.still_ms or 0),
        mbps=None if sent is None else sent * 8 / 1000 / total_time_ms,
        pages_per_second=(int(ram["normal"]) + int(ram["duplicate"])) * 1000 / total_time_ms,
        send_cpu_percent=beside.cpu.send_percent,
        recv_cpu_percent=beside.cpu.recv_percent,
        wire_bytes=sent,
        normal_bytes=normal_bytes,
        ratio=normal_bytes / sent if sent else None,
        backend=beside.compressor.backend,
        dirty_sync_count=int(ram.get("dirty-sync-count", 0)),
        setup_time_ms=int(info.get("setup-time", 0)),
        relays=beside.relays,
        member_size=beside.compressor.member_size,
        downtime_limit_ms=beside.downtime_limit_ms,
        stalled=beside.stalled,
    )
