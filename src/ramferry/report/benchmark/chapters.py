"""The content of a report, in the order of reading, without a format. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ramferry.report.benchmark import grids
from ramferry.report.benchmark.differences import Named, differences, pairs
from ramferry.report.benchmark.findings import headlines, warnings
from ramferry.report.benchmark.forecast_check import forecasts
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
    """Results and ratios; forecasts and failed runs if there are any."""
    facts: tuple[Grid, ...]
    """Scenario and machine."""


@dataclass(frozen=True, slots=True)
class Report:
    """The content of a whole report."""

    chapters: tuple[Chapter, ...]
    differences: tuple[Grid, ...]
    """The first comparison against each of the others."""


def report(measured: Sequence[Named]) -> Report:
    """Make a report of one or more comparisons."""
    return Report(
        tuple(_chapter(one) for one in measured),
        tuple(differences(before, after) for before, after in pairs(measured)),
    )


def _chapter(measured: Named) -> Chapter:
    found = measured.comparison
    more = [table for table in (forecasts(found), grids.failures(found)) if table is not None]
    tables = (grids.results(found), grids.ratios(found), *more)
    return Chapter(
        measured,
        found.scenario.title,
        found.scenario.description,
        warnings(found),
        headlines(found),
        tables,
        grids.facts(found),
    )
