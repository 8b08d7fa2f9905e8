"""The content of a report, in the order of reading, without a format. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ramferry.report.benchmark import grids
from ramferry.report.benchmark.differences import Named, differences, pairs
from ramferry.report.benchmark.findings import headlines, warnings
from ramferry.report.benchmark.forecast_check import forecasts
from ramferry.report.benchmark.series_chapter import NamedSeries, SeriesChapter, series_chapter
from ramferry.report.benchmark.series_grids import name_of
from ramferry.report.grid import Grid


@dataclass(frozen=True, slots=True)
class Chapter:
    """Everything that the report says about one comparison."""

    measured: Named
    title: str
    description: str
    warnings: tuple[str, ...]
    headlines: tuple[tuple[str, str, str], ...]
    tables: tuple[Grid, ...]
    """Results; ratios, forecasts and failed runs if there are any."""
    facts: tuple[Grid, ...]
    """Scenario and machine."""


@dataclass(frozen=True, slots=True)
class Report:
    """The content of a whole report."""

    chapters: tuple[Chapter, ...]
    differences: tuple[Grid, ...]
    """The first comparison against each of the others."""
    series: tuple[SeriesChapter, ...] = ()
    """They come before the chapters, which have each of their rates."""


def report(measured: Sequence[Named], series: Sequence[NamedSeries] = ()) -> Report:
    """Make a report of comparisons, and of links of several rates.

    The comparisons are compared with each other, the rates of a series are not.
    """
    rates = [rate for one in series for rate in rates_of(one)]
    return Report(
        tuple(_chapter(one) for one in (*measured, *rates)),
        tuple(differences(before, after) for before, after in pairs(measured)),
        tuple(series_chapter(one) for one in series),
    )


def rates_of(measured: NamedSeries) -> list[Named]:
    """The comparisons of a series, with names of their own."""
    return [Named(f"{measured.name}: {name_of(one)}", one) for one in measured.series.comparisons]


def _chapter(measured: Named) -> Chapter:
    found = measured.comparison
    more = [table for table in (forecasts(found), grids.failures(found)) if table is not None]
    if any(case.results for case in found.cases):
        more.insert(0, grids.ratios(found))
    tables = (grids.results(found), *more)
    return Chapter(
        measured,
        found.scenario.title,
        found.scenario.description,
        warnings(found),
        headlines(found),
        tables,
        grids.facts(found),
    )
