"""Counters of one migration: written by the threads that own them, read as snapshots."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass, field

from ramferry.metrics import ChannelCounters, RelayCounters


@dataclass(slots=True)
class ChannelTally:
    """What one connection carried; one thread writes, others may read at any time."""

    name: str
    bytes_in: int = 0
    bytes_out: int = 0
    packets: int = 0
    pages: int = 0
    zero_pages: int = 0
    syncs: int = 0
    codec_seconds: float = 0.0
    """Seconds of thread time in codecs."""

    def frozen(self) -> ChannelCounters:
        """The counters as they are at this moment."""
        return ChannelCounters(
            self.name,
            self.bytes_in,
            self.bytes_out,
            self.packets,
            self.pages,
            self.zero_pages,
            self.syncs,
        )


@dataclass(slots=True)
class Tally:
    """The counters of all connections of one migration, and its clocks."""

    page_size: int
    channels: list[ChannelTally] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    _cpu: tuple[float, float] = field(default_factory=lambda: _cpu_times())  # noqa: PLW0108 - defined below

    def channel(self, name: str) -> ChannelTally:
        """Make counters for one more connection."""
        tally = ChannelTally(name)
        self.channels.append(tally)
        return tally

    @property
    def moved(self) -> int:
        """Bytes in and out so far, to see whether anything moves."""
        return sum(one.bytes_in + one.bytes_out for one in self.channels)

    @property
    def carries(self) -> bool:
        """True once the first page with content has been carried."""
        return any(one.pages for one in self.channels)

    @property
    def bytes_in(self) -> int:
        """Bytes that came from the source side so far."""
        return sum(one.bytes_in for one in self.channels)

    @property
    def bytes_out(self) -> int:
        """Bytes sent to the destination side so far."""
        return sum(one.bytes_out for one in self.channels)

    def snapshot(self, rounds: int) -> RelayCounters:
        """The sums and the channels' counters at this moment."""
        channels = tuple(one.frozen() for one in self.channels)
        pages = sum(one.normal_pages for one in channels)
        user, system = (now - then for now, then in zip(_cpu_times(), self._cpu, strict=True))
        return RelayCounters(
            seconds=time.monotonic() - self.started,
            bytes_in=sum(one.bytes_in for one in channels),
            bytes_out=sum(one.bytes_out for one in channels),
            packets=sum(one.packets for one in channels),
            normal_pages=pages,
            zero_pages=sum(one.zero_pages for one in channels),
            normal_bytes=pages * self.page_size,
            rounds=rounds,
            cpu_seconds=user + system,
            channels=channels,
            codec_seconds=sum(one.codec_seconds for one in self.channels),
            system_seconds=system,
        )


def _cpu_times() -> tuple[float, float]:
    """User and system seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime
