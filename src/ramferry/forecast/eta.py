"""Where a running migration stands and when it will end. Pure: samples in, forecast out.

Precopy sends what is dirty, then what became dirty meanwhile, and so on, until what is left fits
the downtime limit. With C bytes/s of guest memory carried and D bytes/s dirtied, R bytes left
shrink by C - D a second; the last T = C · limit are sent while the guest stands still. If
D ≥ C the passes do not get shorter, and no time can be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_SECONDS = 3.0
"""Rates are averages over this time: QEMU's own, over 100 ms, jump about."""


@dataclass(frozen=True, slots=True)
class MigrationSample:
    """What the source and the relay said at one moment."""

    seconds: float
    """Since the migration began."""
    status: str
    dirty_sync_count: int
    """The iteration, as QEMU counts them."""
    total_bytes: int
    """Guest memory."""
    remaining_bytes: int
    """Dirty guest memory at the last sync that is not sent yet."""
    carried_bytes: int
    """Guest memory sent so far, zero pages included, pages sent again counted again."""
    normal_bytes: int
    """The part of it that was not zero pages."""
    dirty_rate: float
    """Bytes of guest memory dirtied a second, at the last sync; 0 before there was one."""
    expected_downtime_ms: int | None
    """None until a sync has told how fast memory is dirtied: before that nothing is known of it."""
    wire_bytes: int | None
    """None if nobody counts them."""
    disk_bytes: int = 0
    """Bytes of disks that QEMU copies within the migration and that are left."""
    throttle_percent: int = 0
    """Share of their time that auto-converge takes from the guest's vCPUs."""
    downtime_limit_ms: int | None = None
    """How long the guest may stand still by now; None if that is not known."""
    choice: str = ""
    """The method that is chosen now, and why, in a few words; empty if it is not chosen."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Rates over the window, and the time left."""

    memory_rate: float
    """Bytes of guest memory carried a second; 0 while there is only one sample."""
    wire_rate: float | None
    ratio: float | None
    """Bytes of normal pages per wire byte, since the beginning."""
    seconds_left: float | None
    """None if it does not converge, or nothing is known yet."""
    converges: bool


def outlook_of(samples: Sequence[MigrationSample], downtime_limit_ms: int) -> Outlook:
    """Rates and time left at the newest sample, by the samples of the window before it.

    :param samples: at least one, oldest first.
    """
    now, window = samples[-1], _window(samples)
    span = now.seconds - window[0].seconds
    memory_rate = (now.carried_bytes - window[0].carried_bytes) / span if span > 0 else 0.0
    fits = now.remaining_bytes <= memory_rate * downtime_limit_ms / 1000
    converges = fits or memory_rate <= 0 or now.dirty_rate < memory_rate
    return Outlook(
        memory_rate=memory_rate,
        wire_rate=_wire_rate(window),
        ratio=now.normal_bytes / now.wire_bytes if now.wire_bytes else None,
        seconds_left=_seconds_left(now, memory_rate, downtime_limit_ms) if converges else None,
        converges=converges,
    )


def _window(samples: Sequence[MigrationSample]) -> Sequence[MigrationSample]:
    """The samples inside the window; the newest two if all others are older."""
    now = samples[-1]
    inside = [sample for sample in samples if now.seconds - sample.seconds <= WINDOW_SECONDS]
    return inside if len(inside) > 1 else samples[-2:]


def _wire_rate(window: Sequence[MigrationSample]) -> float | None:
    counted = [(sample.seconds, sample.wire_bytes) for sample in window if sample.wire_bytes]
    if len(counted) < 2:
        return None
    (began, before), (ended, after) = counted[0], counted[-1]
    return (after - before) / (ended - began) if ended > began else None


def _seconds_left(now: MigrationSample, memory_rate: float, downtime_limit_ms: int) -> float | None:
    if memory_rate <= 0:
        return None
    last = memory_rate * downtime_limit_ms / 1000
    if now.remaining_bytes <= last or now.dirty_rate <= 0:
        return now.remaining_bytes / memory_rate
    return (now.remaining_bytes - last) / (memory_rate - now.dirty_rate) + downtime_limit_ms / 1000
