"""What a report says about links of several rates, in the order of reading. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ramferry.report.benchmark.findings import warnings
from ramferry.report.benchmark.series import LinkSeries
from ramferry.report.benchmark.series_grids import chosen, name_of, over_others
from ramferry.report.grid import Grid


@dataclass(frozen=True, slots=True)
class NamedSeries:
    """A series and what to call it: its file's name."""

    name: str
    series: LinkSeries


@dataclass(frozen=True, slots=True)
class SeriesChapter:
    """Everything that the report says about the rates together; each has a chapter of its own."""

    measured: NamedSeries
    title: str
    description: str
    warnings: tuple[str, ...]
    tables: tuple[Grid, ...]


def series_chapter(measured: NamedSeries) -> SeriesChapter:
    """Make it."""
    series = measured.series
    tables = [over_others(series)] if series.measured else []
    told = chosen(series)
    if told is not None:
        tables.append(told)
    return SeriesChapter(
        measured, series.title, series.description, tuple(_warnings(series)), tuple(tables)
    )


def _warnings(series: LinkSeries) -> list[str]:
    """Those of each rate, said once if they are the same."""
    whose: dict[str, list[str]] = {}
    for comparison in series.comparisons:
        for sentence in warnings(comparison):
            whose.setdefault(sentence, []).append(name_of(comparison))
    said = [f"{', '.join(links)}: {sentence}" for sentence, links in whose.items()]
    if not series.finished:
        said.insert(0, "The benchmark was interrupted: rates or runs are missing.")
    return said
