"""The rows of ``ramferry bench ceiling``: what runs showed, for each packet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

from ramferry.bench.ceiling.course import Course, run
from ramferry.bench.ceiling.wish import Wish
from ramferry.report.benchmark.columns import Spread, spread

WAYS = (("none", "none"), ("none", "qatzip"), ("qatzip", "none"))
"""Methods in and out: payloads passed on, pages compressed, pages inflated."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run showed between its two looks.

    The time under the GIL is found in two ways. ``held_micros`` is the share of the time in which
    the GIL was seen held, from outside (``bench.ceiling.gil``), and so includes what a codec does
    under it. A thread whose core is taken away still holds it, so on a crowded machine it is more
    than the same work takes elsewhere. ``user_micros`` is what the kernel counts as user time of
    all of the relay's threads, less the codecs': Python runs under the GIL only, and native code
    that releases it works in the kernel (sockets) or is a codec. Kernel time under the GIL, such as
    that for fresh memory, is not in it. The kernel divides CPU time into user and system by what it
    finds at the ticks of its clock: in 0.5 s with 250 ticks a second that is a quarter more or
    less.
    To time each native call instead would take 1.1 µs a call, of which a packet has three or more,
    and miss those that nobody thought of.
    """

    bytes_per_second: float
    """Guest memory, which is 512 KiB a packet."""
    packets_per_second: float
    held_micros: float | None
    """Time a packet in which a thread held the GIL, in microseconds; None if not known."""
    user_micros: float
    """User CPU a packet without codecs."""
    kernel_micros: float
    """System CPU a packet: mostly copies from and to sockets."""
    codec_micros: float
    """CPU a packet in codecs."""
    switches: float
    """Changes of hands a packet: context switches of all threads, whatever for."""
    involuntary: float
    """Those of them in which the kernel took the core away."""
    faults: float
    """Pages a packet that the kernel had to provide: memory that is allocated afresh."""
    cores: float
    """CPU seconds a second of the relay."""
    memory: float
    """Of the relay, in bytes (PSS)."""


def figures(course: Course) -> Figures:
    """The figures of a run."""
    first, last = course.first, course.last
    seconds, packets = last.at - first.at, max(1, last.packets - first.packets)
    cpu = last.cpu_seconds - first.cpu_seconds
    system = last.system_seconds - first.system_seconds
    codec = last.codec_seconds - first.codec_seconds
    involuntary = last.involuntary - first.involuntary
    return Figures(
        bytes_per_second=(last.page_bytes - first.page_bytes) / seconds,
        packets_per_second=(last.packets - first.packets) / seconds,
        held_micros=None if course.held is None else course.held * seconds / packets * 1e6,
        user_micros=max(0.0, cpu - system - codec) / packets * 1e6,
        kernel_micros=system / packets * 1e6,
        codec_micros=codec / packets * 1e6,
        switches=(last.voluntary - first.voluntary + involuntary) / packets,
        involuntary=involuntary / packets,
        faults=(last.faults - first.faults) / packets,
        cores=cpu / seconds,
        memory=course.memory,
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One way with a number of channels: each figure over its runs."""

    method_in: str
    method_out: str
    channels: int
    link: str
    """One of ``bench.ceiling.wish.LINKS``."""
    figures: dict[str, Spread | None]
    """By the names of :class:`Figures`; None for one that is not known."""


def row(wish: Wish, runs: Sequence[Figures]) -> Row:
    """The row of the runs of a wish.

    :param runs: at least one.
    """
    found = {one.name: spread(getattr(each, one.name) for each in runs) for one in fields(Figures)}
    return Row(wish.method_in, wish.method_out, wish.channels, wish.link, found)


def measure(
    wishes: Sequence[Wish], repeat: int, begun: Callable[[str], None], stop: threading.Event
) -> Iterator[tuple[Wish, Figures]]:
    """Run each wish in turn, ``repeat`` times, so that whatever else happens on the machine meets
    all of them.

    :param begun: called with what is run, before each.
    :raise RamferryError: as ``course.run``.
    """
    for repetition in range(1, repeat + 1):
        for wish in wishes:
            begun(f"run {repetition} of {repeat}: {wish}")
            yield wish, figures(run(wish, stop))
