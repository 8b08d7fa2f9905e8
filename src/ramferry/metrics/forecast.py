"""Frozen records of a forecast: the sample, what each method made of it, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NOTABLE_LOAD: Final = 0.3
"""From so many busy cores on, users are told: with 0.4 to 1.6 of two cores taken by others,
migrations that the cores limit took up to 2.1 times what was forecast for two free ones."""


@dataclass(frozen=True, slots=True)
class Range:
    """A figure that is not known exactly."""

    low: float
    expected: float
    high: float


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """Which pages of a guest were looked at, and how many of them are zero."""

    source: str
    """The QMP address or the file."""
    total_bytes: int
    """RAM that a migration looks at."""
    sampled_bytes: int
    pieces: int
    page_size: int
    zero_share: Range
    """Share of zero pages among all pages, with two standard errors each way."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What one method made of the sampled pages on one core of this host."""

    method: str
    level: int | None
    backend: str
    packets: int
    wire_share: Range
    """Payload bytes for each byte of pages with content: 1 over the ratio."""
    compress_seconds: Range
    """For each byte of pages, on one core; 0 if nothing is done."""
    decompress_seconds: Range
    compress_cpu: float
    """CPU seconds for each byte of pages: less than ``compress_seconds`` if a device does the
    work."""
    decompress_cpu: float

    @property
    def ratio(self) -> float:
        """Bytes of pages for each payload byte."""
        return 1 / self.wire_share.expected if self.wire_share.expected else 0.0


_NOTHING = Range(0.0, 0.0, 0.0)
UNTOUCHED = Trial("none", None, "none", 0, Range(1.0, 1.0, 1.0), _NOTHING, _NOTHING, 0.0, 0.0)
"""The trial of ``none``."""


@dataclass(frozen=True, slots=True)
class MethodTime:
    """What one method is expected to take."""

    method: str
    level: int | None
    backend: str
    ratio: float
    compress_rate: float | None
    """Bytes of pages a second on one core; None for ``none``."""
    decompress_rate: float | None
    carried_rate: float
    """Bytes of pages with content a second, on this route and link."""
    limited_by: str
    """What the rate is limited by: "link", "source CPU" …"""
    converges: bool
    total_seconds: Range | None
    """None if it does not converge."""
    downtime_ms: Range | None
    send_cpu_seconds: float
    """CPU seconds of the source QEMU and its relay; those of one pass if it does not converge."""
    recv_cpu_seconds: float
    wire_bytes: int
    rounds: int
    """Passes over the memory; 1 for an idle guest."""
    break_even_rate: float | None
    """Rate of a link, in bytes/s, below which the method is faster than ``none``; 0 if it is faster
    on no link; None if it is faster on every link, and for ``none`` itself."""


@dataclass(frozen=True, slots=True)
class TimePlan:
    """A forecast for one guest and one link."""

    sample: SampleSummary
    link_rate: float
    """Bytes/s; 0 is unlimited."""
    link_from: str
    cores: float
    """Cores that each side may use, or both together if they share a host."""
    one_host: bool
    channels: int
    dirty_rate: float
    """Bytes of guest memory a second."""
    dirty_from: str
    """"given", "measured", or "assumed" if nobody said."""
    downtime_limit_ms: int
    methods: tuple[MethodTime, ...]
    choice: str
    """The method; empty if none converges."""
    reason: str
    """One sentence."""
    notes: tuple[str, ...] = ()
