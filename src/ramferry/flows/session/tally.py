"""Counters of one migration: written by the threads that own them, read as snapshots."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, ParamSpec, TypeVar

from ramferry.flows.session.account import SwitchoverClock
from ramferry.flows.session.roles import Chosen
from ramferry.metrics import ChannelCounters, RelayCounters

_P = ParamSpec("_P")
_T = TypeVar("_T")
_TIMED_AT_FIRST: Final = 5
"""Packets that are timed one after another."""
_BETWEEN: Final = 8 * 1024 * 1024
"""Bytes of pages between two packets that are timed later on: one of 17."""


@dataclass(slots=True)
class CodecClock:
    """Thread time in one codec of one channel: measured at some packets, reckoned for the others.

    To read a thread's clock is a system call made with the GIL held, and behind it the kernel takes
    the core from a thread that has just computed for a millisecond: every other thread of the relay
    then waits for it. Read before and after each packet it kept the GIL for 300 to 376 µs a packet
    in place of 39, and made 10 to 12 changes of hands in place of 4 to 5 (``bench ceiling
    --own-codecs``, none → zstd, 16 channels on 2 cores).

    The first packet, whose codec's memory is new and far from the cores, counts only until there is
    a second: it would count for the next seventy.
    """

    size: int = 0
    """Bytes of pages that the codec was given; its caller adds to it."""
    due: int = 0
    """The next packet is timed once ``size`` is over this."""
    _packets: int = 0
    _timed: int = 0
    _spent: float = 0.0

    def add(self, size: int, seconds: float) -> None:
        """A packet of ``size`` bytes was timed."""
        if self._packets == 1:
            self._timed, self._spent = 0, 0.0
        self._timed += size
        self._spent += seconds
        self._packets += 1
        self.due = self.size if self._packets < _TIMED_AT_FIRST else self.size + _BETWEEN

    def run(self, size: int, work: Callable[_P, _T], *given: _P.args, **named: _P.kwargs) -> _T:
        """Do ``work`` for a packet of ``size`` bytes, and return what it returns; time it if its
        turn has come."""
        self.size += size
        if self.size <= self.due:
            return work(*given, **named)
        begun = time.thread_time()
        done = work(*given, **named)
        self.add(size, time.thread_time() - begun)
        return done

    def rest(self) -> None:
        """Time nothing any more."""
        self.due = sys.maxsize

    @property
    def seconds(self) -> float:
        """Seconds for all bytes, at the pace of those that were timed."""
        return self._spent * self.size / self._timed if self._timed else 0.0


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
    decoding: CodecClock = field(default_factory=CodecClock)
    encoding: CodecClock = field(default_factory=CodecClock)
    digesting: CodecClock = field(default_factory=CodecClock)
    """Of the digests of pages, and of payloads where they are made along with them."""
    checking: CodecClock = field(default_factory=CodecClock)
    """Of the digests of payloads that came."""
    in_uses: Callable[[], float] = lambda: 0.0
    """Tells the seconds of thread time in encoders that are chosen packet by packet. Each has a
    clock of its own, in place of ``encoding``, by which packets that go as they are would count for
    those that do not."""
    sending: float = 0.0
    """Seconds of the clock in sends, where they are measured."""

    @property
    def codec_seconds(self) -> float:
        """Seconds of thread time in the channel's codecs."""
        return self.decoding.seconds + self.encoding.seconds + self.in_uses()

    @property
    def digest_seconds(self) -> float:
        """Seconds of thread time for the digests of the channel's packets."""
        return self.digesting.seconds + self.checking.seconds

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
    migration: str = ""
    """The migration's id, 8 hexadecimal digits."""
    channels: list[ChannelTally] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    switchover: SwitchoverClock = field(default_factory=SwitchoverClock)
    chosen: Chosen | None = None
    """What chooses a method for each packet; None if one method was asked for."""
    _cpu: tuple[float, float] = field(default_factory=lambda: cpu_times())  # noqa: PLW0108 - defined below

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
    def page_bytes(self) -> int:
        """Bytes of pages with content so far."""
        return sum(one.pages for one in self.channels) * self.page_size

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
        user, system = (now - then for now, then in zip(cpu_times(), self._cpu, strict=True))
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
            digest_seconds=sum(one.digest_seconds for one in self.channels),
            system_seconds=system,
            migration=self.migration,
            choice=self.chosen.line if self.chosen else "",
            wire_by_method=self.chosen.wire_bytes if self.chosen else {},
        )


def cpu_times() -> tuple[float, float]:
    """User and system seconds of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime
