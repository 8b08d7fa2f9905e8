"""The findings of a comparison in a few sentences. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ramferry.metrics.forecast import NOTABLE_LOAD
from ramferry.report.benchmark.columns import (
    CPU_PER_GIB,
    DOWNTIME,
    TOTAL,
    WIRE,
    Measure,
    Spread,
    doubt,
    spread,
    spread_of,
)
from ramferry.report.benchmark.comparison import Comparison
from ramferry.report.benchmark.forecast_check import ALLOWED, missed

_ASKED: Final[tuple[tuple[str, Measure, Callable[[float], str]], ...]] = (
    ("Fastest", TOTAL, lambda value: f"{value / 1000:.2f} s"),
    ("Shortest downtime", DOWNTIME, lambda value: f"{value:.0f} ms"),
    ("Least CPU", CPU_PER_GIB, lambda value: f"{value:.2f} s per GiB of guest"),
    ("Fewest bytes sent", WIRE, lambda value: f"{value / 2**20:.0f} MiB"),
)


def headlines(comparison: Comparison) -> tuple[tuple[str, str, str], ...]:
    """Triples: a title such as "Fastest", the best case's label, its figure beside the next
    one's."""
    said = (_least(comparison, *asked) for asked in _ASKED)
    return tuple(line for line in said if line is not None)


def warnings(comparison: Comparison) -> tuple[str, ...]:
    """What a reader must know before believing the figures."""
    said = []
    if not any(case.runs for case in comparison.cases) and not comparison.finished:
        said.append("The benchmark was interrupted before a run was finished: nothing is measured.")
    elif not comparison.finished:
        said.append("The benchmark was interrupted: runs are missing.")
    failed = sum(bool(run.error) for case in comparison.cases for run in case.runs)
    if failed:
        said.append(f"{failed} run{'' if failed == 1 else 's'} failed: listed below.")
    skipped = sum(bool(case.skipped) for case in comparison.cases)
    if skipped:
        said.append(f"{skipped} case{' was' if skipped == 1 else 's were'} not run: listed below.")
    if wrong := missed(comparison):
        said.append(f"Forecasts were off by more than {ALLOWED:.0%}: {', '.join(wrong)}.")
    others = spread(run.others_cores for case in comparison.cases for run in case.runs)
    if others and others.middle >= NOTABLE_LOAD:
        said.append(
            f"Others kept {others.middle:.1f} cores of this host busy during the runs"
            f" ({others.low:.1f} to {others.high:.1f}): times are longer than on a quiet host, for"
            " which the forecasts are."
        )
    if comparison.scenario.scaling:
        said.append(comparison.scenario.scaling)
    return tuple(said)


def _least(
    comparison: Comparison, what: str, measure: Measure, say: Callable[[float], str]
) -> tuple[str, str, str] | None:
    """The case with the least median; None if fewer than two have the figure."""
    spreads = {
        case.label: found
        for case in comparison.cases
        if (found := spread_of(case, measure, comparison.scenario.memory_bytes))
    }
    if len(spreads) < 2:
        return None
    first, second, *_ = sorted(spreads, key=lambda label: spreads[label].middle)
    return what, first, f"{say(spreads[first].middle)}; {_next(second, spreads, first, say)}"


def _next(second: str, spreads: dict[str, Spread], first: str, say: Callable[[float], str]) -> str:
    why = doubt(spreads[first], spreads[second])
    after = f"next is {second}, {say(spreads[second].middle)}"
    return f"{after} ({why})" if why else after
