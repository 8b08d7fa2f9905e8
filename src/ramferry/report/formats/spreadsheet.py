"""The report as CSV: a line for every run, with every figure as it was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from ramferry.report.benchmark.columns import MEASURES
from ramferry.report.benchmark.comparison import CaseRuns, Forecast, Run
from ramferry.report.benchmark.differences import Named
from ramferry.report.formats.escaping import in_csv

_FIRST = ("file", "scenario", "label", "method", "level", "channels", "route", "run")
_LAST = (
    "send_cpu_seconds",
    "recv_cpu_seconds",
    "others_cores",
    "backend",
    "forecast_ms",
    "off_by",
    "error",
)


def draw(measured: Sequence[Named]) -> str:
    """A heading, then the runs of each comparison, case by case; empty where nothing is known.

    A case that was not run has a line without figures.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*_FIRST, *(measure.key for measure in MEASURES), *_LAST])
    for one in measured:
        for case in one.comparison.cases:
            writer.writerows(_lines(one, case))
    return out.getvalue()


def _lines(measured: Named, case: CaseRuns) -> Iterator[list[object]]:
    scenario = measured.comparison.scenario
    left_out = [(0, Run(None, error=f"not run: {case.skipped}"))] if case.skipped else []
    for number, run in left_out or enumerate(case.runs, 1):
        figures = [measure.figure(run, scenario.memory_bytes) for measure in MEASURES]
        named = [in_csv(text) for text in (measured.name, scenario.name, case.label, case.method)]
        setting = [case.level, case.channels, in_csv(case.route), number]
        yield [*named, *setting, *figures, *_rest(run, case.forecast)]


def _rest(run: Run, forecast: Forecast | None) -> list[object]:
    backend = "" if run.result is None else in_csv(run.result.backend)
    expected = forecast.expected_ms if forecast else None
    off = expected / run.result.total_ms - 1 if expected and run.result else None
    used = [run.send_cpu_seconds, run.recv_cpu_seconds, run.others_cores]
    return [*used, backend, expected, off, in_csv(run.error)]
