"""Compares what was forecast for the cases of a comparison with what was measured. Pure."""

from __future__ import annotations

from typing import Final

from ramferry.report.benchmark.columns import TOTAL, WIRE, Measure, Spread, spread, spread_of
from ramferry.report.benchmark.comparison import CaseRuns, Comparison, Forecast
from ramferry.report.benchmark.grids import figure
from ramferry.report.grid import NOT_KNOWN, Cell, Column, Grid

ALLOWED: Final = 0.25
"""A forecast may be off by this share of the measured total time."""

_COLUMNS: Final = (
    Column("method", words=True),
    Column("total time", "forecast, ms"),
    Column("total time", "measured, ms"),
    Column("forecast", "off by"),
    Column("wire", "off by"),
    Column("send CPU", "off by"),
    Column("recv CPU", "off by"),
    Column("limited by", "forecast", words=True),
)


def off_by(case: CaseRuns) -> float | None:
    """Forecast over the median of the measured total times, less 1; None if one is missing."""
    found = spread_of(case, TOTAL, 0)
    expected = case.forecast.expected_ms if case.forecast else None
    return None if expected is None or found is None else expected / found.middle - 1


def missed(comparison: Comparison) -> list[str]:
    """The cases whose forecast was off by more than ``ALLOWED``, each with by how much."""
    said = []
    for case in comparison.cases:
        if case.forecast is None or not case.results:
            continue
        off = off_by(case)
        if off is None:
            said.append(f"{case.label} (not to converge, and it did)")
        elif abs(off) > ALLOWED:
            said.append(f"{case.label} ({off:+.0%})")
    return said


def forecasts(comparison: Comparison) -> Grid | None:
    """A row for each case that was forecast; None if none was."""
    rows = [_row(comparison, case) for case in comparison.cases if case.forecast is not None]
    if not rows:
        return None
    notes = (
        "What ramferry plan time said before the runs, by a sample of this guest's pages, for a"
        f" relay pair; off by: forecast over measured, less 1. {_verdict(comparison)}",
        *(f"{note[:1].upper()}{note[1:]}." for note in comparison.forecast_notes),
    )
    return Grid(_COLUMNS, tuple(rows), "Forecast", notes)


def _verdict(comparison: Comparison) -> str:
    wrong = missed(comparison)
    if wrong:
        return f"Off by more than {ALLOWED:.0%}: {', '.join(wrong)}."
    return f"All that was measured is within {ALLOWED:.0%}."


def _row(comparison: Comparison, case: CaseRuns) -> tuple[Cell, ...]:
    said = case.forecast
    assert said is not None
    memory = comparison.scenario.memory_bytes
    off = off_by(case)
    verdict = "" if off is None or abs(off) <= ALLOWED else f"more than {ALLOWED:.0%}"
    send = spread(run.send_cpu_seconds for run in case.runs)
    recv = spread(run.recv_cpu_seconds for run in case.runs)
    return (
        Cell(case.label),
        _expected(said, TOTAL),
        figure(TOTAL, spread_of(case, TOTAL, memory)),
        Cell(NOT_KNOWN, faint=True) if off is None else Cell(f"{off:+.0%}", verdict),
        _off(said.wire_bytes, spread_of(case, WIRE, memory)),
        _off(said.send_cpu_seconds, send),
        _off(said.recv_cpu_seconds, recv),
        Cell(said.limited_by),
    )


def _expected(said: Forecast, measure: Measure) -> Cell:
    if said.expected_ms is None:
        return Cell("never", "does not converge")
    low = measure.text(said.low_ms or 0.0)
    high = "…" if said.high_ms is None else measure.text(said.high_ms)
    return Cell(measure.text(said.expected_ms), f"{low} – {high}")


def _off(said: float, found: Spread | None) -> Cell:
    if found is None or not found.middle:
        return Cell(NOT_KNOWN, faint=True)
    return Cell(f"{said / found.middle - 1:+.0%}")
