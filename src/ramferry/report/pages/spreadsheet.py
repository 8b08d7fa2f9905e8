"""The report as CSV: a line for every run, with every figure as it was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from ramferry.report.comparison import CaseRuns, Run
from ramferry.report.differences import Named
from ramferry.report.measures import MEASURES
from ramferry.report.pages.escaping import in_csv

_FIRST = ("file", "scenario", "label", "method", "level", "channels", "route", "run")
_LAST = ("send_cpu_seconds", "recv_cpu_seconds", "backend", "error")


def draw(measured: Sequence[Named]) -> str:
    """A heading, then the runs of each comparison, case by case; empty where nothing is known."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*_FIRST, *(measure.key for measure in MEASURES), *_LAST])
    for one in measured:
        for case in one.comparison.cases:
            writer.writerows(_lines(one, case))
    return out.getvalue()


def _lines(measured: Named, case: CaseRuns) -> Iterator[list[object]]:
    scenario = measured.comparison.scenario
    for number, run in enumerate(case.runs, 1):
        figures = [measure.figure(run, scenario.memory_bytes) for measure in MEASURES]
        named = [in_csv(text) for text in (measured.name, scenario.name, case.label, case.method)]
        setting = [case.level, case.channels, in_csv(case.route), number]
        yield [*named, *setting, *figures, *_rest(run)]


def _rest(run: Run) -> list[object]:
    backend = "" if run.result is None else in_csv(run.result.backend)
    return [run.send_cpu_seconds, run.recv_cpu_seconds, backend, in_csv(run.error)]
