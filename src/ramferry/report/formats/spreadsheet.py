"""The report as CSV: a line for every run, with every figure as it was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ramferry.report.benchmark.columns import MEASURES
from ramferry.report.benchmark.comparison import CaseRuns, Forecast, Run
from ramferry.report.benchmark.differences import Named
from ramferry.report.drawing import csv
from ramferry.report.grid import Cell, Column, Grid, row

_COLUMNS: Final = (
    *(Column(key, words=True) for key in ("file", "scenario", "label", "method")),
    *(Column(key) for key in ("level", "channels")),
    Column("route", words=True),
    Column("run"),
    *(Column(measure.key) for measure in MEASURES),
    *(Column(key) for key in ("send_cpu_seconds", "recv_cpu_seconds", "others_cores")),
    Column("backend", words=True),
    Column("member_size"),
    *(Column(key) for key in ("forecast_ms", "off_by")),
    Column("error", words=True),
)


def draw(measured: Sequence[Named]) -> str:
    """A heading, then a line for each run, case by case; a figure that is not known is empty.

    A case that was not run has a line without figures.
    """
    rows = (
        cells for one in measured for case in one.comparison.cases for cells in _rows(one, case)
    )
    return csv.draw(Grid(_COLUMNS, tuple(rows)))


def _rows(measured: Named, case: CaseRuns) -> Iterator[tuple[Cell, ...]]:
    scenario = measured.comparison.scenario
    left_out = [(0, Run(None, error=f"not run: {case.skipped}"))] if case.skipped else []
    for number, run in left_out or enumerate(case.runs, 1):
        figures = [measure.figure(run, scenario.memory_bytes) for measure in MEASURES]
        named = [measured.name, scenario.name, case.label, case.method]
        setting = [case.level, case.channels, case.route, number]
        yield row(*map(_text, [*named, *setting, *figures, *_rest(run, case.forecast)]))


def _rest(run: Run, forecast: Forecast | None) -> list[object]:
    engine = [None, None] if run.result is None else [run.result.backend, run.result.member_size]
    expected = forecast.expected_ms if forecast else None
    off = expected / run.result.total_time_ms - 1 if expected and run.result else None
    used = [run.send_cpu_seconds, run.recv_cpu_seconds, run.others_cores]
    return [*used, *engine, expected, off, run.error]


def _text(value: object) -> str:
    """A figure with all its digits."""
    return "" if value is None else str(value)
