"""The rows of ``ramferry bench ceiling``: what runs showed, for each packet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

from ramferry.bench.ceiling.course import Course, Wish, run
from ramferry.report.benchmark.columns import Spread, spread

WAYS = (("none", "none"), ("none", "qatzip"), ("qatzip", "none"))
"""Methods in and out: payloads passed on, pages compressed, pages inflated."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run showed between its two looks.

    ``user`` stands for the time under the GIL, which CPython does not count: user time of all of
    the relay's threads that was not in a codec. Python runs under the GIL only, and native code
    that releases it works in the kernel (sockets) or is a codec; what is left over is the user part
    of handing the GIL on, which belongs to it. Not in it is kernel time that is spent under the
    GIL: memory that is given out and faults, which ``faults`` shows. Timing each native call instead
    would add about 5 µs a packet to what is measured, and miss what a new call does. The kernel
    divides CPU time into user and system by what it finds at its clock's ticks, so a short run
    gives some percent of noise.
    """

    bytes_per_second: float
    """Guest memory, which is 512 KiB a packet."""
    packets_per_second: float
    user_micros: float
    """User CPU a packet without codecs, in microseconds: about the time under the GIL."""
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
    figures: dict[str, Spread]
    """By the names of :class:`Figures`."""


def row(wish: Wish, runs: Sequence[Figures]) -> Row:
    """The row of the runs of a wish.

    :param runs: at least one.
    """
    found = {}
    for one in fields(Figures):
        over = spread(getattr(each, one.name) for each in runs)
        assert over is not None
        found[one.name] = over
    return Row(wish.method_in, wish.method_out, wish.channels, found)


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
            begun(f"run {repetition} of {repeat}: {words(wish)}")
            yield wish, figures(run(wish, stop))


def words(wish: Wish) -> str:
    """What is measured, in words."""
    many = "s" * (wish.channels > 1)
    return f"{wish.method_in} → {wish.method_out}, {wish.channels} channel{many}"
