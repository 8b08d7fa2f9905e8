"""The figures of a comparison: columns, medians with their spread, differences, ratios. Pure.

The columns of QEMU's QATzip documentation come first and in its order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from ramferry.metrics import MigrationResult
from ramferry.report.benchmark.comparison import CaseRuns, Comparison, Run
from ramferry.vocabulary import GIB

FEWEST: Final = 3
"""Runs of a case before a difference may be called significant: of two equal cases, all runs of
one lie beyond all of the other in a third of all attempts with two runs each, in a tenth with
three, in 1 of 35 with four."""

NOT_SIGNIFICANT: Final = "not significant"
TOO_FEW: Final = "too few runs"


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the runs of a case."""

    middle: float
    """The median."""
    low: float
    high: float
    count: int
    """The number of runs that had the figure."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of figures."""

    key: str
    """Its name in CSV, with the unit."""
    name: str
    unit: str
    digits: int
    """Decimals that are shown."""
    figure: Callable[[Run, int], float | None]
    """Takes a run and the guest's memory in bytes; returns None if the figure is not known."""

    def text(self, value: float) -> str:
        """The value as it is shown."""
        return f"{value:.{self.digits}f}"


def _of_result(
    figure: Callable[[MigrationResult], float | None],
) -> Callable[[Run, int], float | None]:
    """A figure of the result."""

    def of_run(run: Run, memory: int) -> float | None:
        del memory
        return None if run.result is None else figure(run.result)

    return of_run


def send_cpu_per_gib(run: Run, memory: int) -> float | None:
    """CPU seconds of the sending side per GiB of the guest's memory; None for a failed run."""
    return _per_gib(run, run.send_cpu_seconds, memory)


def recv_cpu_per_gib(run: Run, memory: int) -> float | None:
    """The same of the receiving side."""
    return _per_gib(run, run.recv_cpu_seconds, memory)


def _per_gib(run: Run, seconds: float | None, memory: int) -> float | None:
    if run.result is None or seconds is None or not memory:
        return None
    return seconds / (memory / GIB)


def _cpu_per_gib(run: Run, memory: int) -> float | None:
    send, recv = send_cpu_per_gib(run, memory), recv_cpu_per_gib(run, memory)
    return None if send is None or recv is None else send + recv


TOTAL: Final = Measure(
    "total_time_ms", "total time", "ms", 0, _of_result(lambda r: r.total_time_ms)
)
DOWNTIME: Final = Measure("downtime_ms", "downtime", "ms", 0, _of_result(lambda r: r.downtime_ms))
THROUGHPUT: Final = Measure("mbps", "throughput", "mbps", 0, _of_result(lambda r: r.mbps))
PAGES: Final = Measure(
    "pages_per_second", "pages", "per second", 0, _of_result(lambda r: r.pages_per_second)
)
SEND: Final = Measure(
    "send_cpu_percent", "send CPU", "%", 0, _of_result(lambda r: r.send_cpu_percent)
)
RECV: Final = Measure(
    "recv_cpu_percent", "recv CPU", "%", 0, _of_result(lambda r: r.recv_cpu_percent)
)
WIRE: Final = Measure("wire_bytes", "wire", "bytes", 0, _of_result(lambda r: r.wire_bytes))
RATIO: Final = Measure("ratio", "ratio", "", 2, _of_result(lambda r: r.ratio))
CPU_PER_GIB: Final = Measure("cpu_seconds_per_gib", "CPU", "s per GiB", 2, _cpu_per_gib)

DOCUMENTED_MEASURES: Final = (TOTAL, DOWNTIME, THROUGHPUT, PAGES, SEND, RECV)
MEASURES: Final = (*DOCUMENTED_MEASURES, WIRE, RATIO, CPU_PER_GIB)
"""In the order of the table."""

DOCUMENTED: Final[Mapping[str, tuple[float, ...]]] = {
    "qatzip": (16630, 28, 10467, 2940235, 160, 360),
    "zstd": (20165, 24, 8579, 2391465, 810, 340),
    "none": (46063, 40, 10848, 330240, 45, 85),
}
"""The table on QEMU's page about its QATzip method: by method, ``DOCUMENTED_MEASURES``."""

BASE: Final = "none"
"""The method that the others are compared with."""


def spread(values: Iterable[float | None]) -> Spread | None:
    """Median and extremes of the known values; None if there are none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(median(known), min(known), max(known), len(known))


def spread_of(case: CaseRuns, measure: Measure, memory: int) -> Spread | None:
    """A figure over the runs of a case that did not fail.

    :param memory: the guest's, in bytes.
    """
    return spread(measure.figure(run, memory) for run in case.runs)


def significant(a: Spread, b: Spread) -> bool:
    """Whether two cases differ by more than their spread: all runs of one exceed all of the other.

    Never with fewer runs than ``FEWEST``.
    """
    return min(a.count, b.count) >= FEWEST and (a.high < b.low or b.high < a.low)


def doubt(a: Spread, b: Spread) -> str:
    """Why a difference between two cases proves nothing; empty if it is significant."""
    if significant(a, b):
        return ""
    return NOT_SIGNIFICANT if min(a.count, b.count) >= FEWEST else TOO_FEW


def quotient(over: Spread, under: Spread) -> Spread | None:
    """Median over median, and the extremes that the two spreads allow; None if a divisor is 0."""
    if not under.low or not under.middle or not under.high:
        return None
    return Spread(
        over.middle / under.middle,
        over.low / under.high,
        over.high / under.low,
        min(over.count, under.count),
    )


def base_of(comparison: Comparison, case: CaseRuns) -> CaseRuns | None:
    """The ``none`` case that another is compared with: that of its route, with TLS or without it
    like that, or else the first one.

    None if no such case has a result.
    """
    bases = [one for one in comparison.cases if one.method == BASE and one.results]
    same = [one for one in bases if (one.route, one.tls) == (case.route, case.tls)]
    return next(iter(same or bases), None)


def documented_ratios(method: str) -> tuple[float, ...] | None:
    """The documented row of a method over that of ``none``; None if there is no such row."""
    if method not in DOCUMENTED:
        return None
    pairs = zip(DOCUMENTED[method], DOCUMENTED[BASE], strict=True)
    return tuple(figure / base for figure, base in pairs)
