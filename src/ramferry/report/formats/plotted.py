"""What the page shows beside the tables: each comparison's plots, and the lists that choose a run.

The page's template places them; ``page.js`` draws the figures, which it finds by their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ramferry.report.benchmark.chapters import Report
from ramferry.report.benchmark.comparison import CaseRuns, Comparison
from ramferry.report.benchmark.differences import Named, pairs
from ramferry.report.formats import plots, timeline
from ramferry.report.formats.figures import Figure, styles
from ramferry.report.grid import Grid


@dataclass(frozen=True, slots=True)
class Plot:
    """A place where a figure is drawn."""

    name: str
    """The figure's, and the id of the element that holds it."""
    title: str
    caption: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A run that can be chosen."""

    figure: str
    """The name of the figure that shows the run."""
    words: str
    """What it is called within its case: "run 2, the median"."""
    median: bool


@dataclass(frozen=True, slots=True)
class Chooser:
    """A place for one figure, and a list of those that can be drawn there."""

    name: str
    """The id of the element that holds the figure."""
    first: str
    """The name of the figure that is drawn before anything is chosen."""
    choices: Mapping[str, tuple[Choice, ...]]
    """By the label of their case."""


@dataclass(frozen=True, slots=True)
class Change:
    """What changed between two comparisons."""

    grid: Grid
    plot: Plot


@dataclass(frozen=True, slots=True)
class Plotted:
    """All plots of a page."""

    changes: tuple[Change, ...]
    plots: tuple[tuple[Plot, ...], ...]
    """A tuple for each chapter."""
    choosers: tuple[Chooser | None, ...]
    """One for each chapter; None if no run of it has a timeline."""
    figures: Mapping[str, Figure]
    """By name."""


def plotted(report: Report) -> Plotted:
    """Make every plot of a report."""
    figures: dict[str, Figure] = {}
    measured = [chapter.measured for chapter in report.chapters]
    both = zip(pairs(measured), report.differences, strict=True)
    changes = tuple(
        Change(grid, _kept(figures, _changed(f"changes-{number}", before, after)))
        for number, ((before, after), grid) in enumerate(both)
    )
    found = [(f"c{number}", one.comparison) for number, one in enumerate(measured)]
    drawn = tuple(
        tuple(_kept(figures, one) for one in (*_charts(name, what), *_left(name, what)))
        for name, what in found
    )
    choosers = tuple(_chooser(f"{name}-run", what, figures) for name, what in found)
    return Plotted(changes, drawn, choosers, figures)


def _kept(figures: dict[str, Figure], drawn: tuple[Plot, Figure]) -> Plot:
    plot, figure = drawn
    figures[plot.name] = figure
    return plot


def _changed(name: str, before: Named, after: Named) -> tuple[Plot, Figure]:
    caption = f"Total time of each method: pale {before.name}, full {after.name}."
    return Plot(name, "", caption), plots.before_and_after(before, after)


def _charts(name: str, found: Comparison) -> Iterator[tuple[Plot, Figure]]:
    """The plots over the cases; none if no run has a result."""
    if not any(case.results for case in found.cases):
        return
    still = "How long the guest stood still."
    median = "Medians; the line spans all runs."
    told = any(case.forecast for case in found.cases)
    forecast = " Diamonds: the forecast of ramferry plan time." if told else ""
    sides = "Full: the sending side; pale: the receiving side. Per GiB of the guest's memory."
    better = "Up and to the left is better. Small marks are runs, large ones medians."
    for key, title, figure, caption in (
        ("time", "Total time", plots.total_time(found), median + forecast),
        ("downtime", "Downtime", plots.downtime(found), f"{still} {median}"),
        ("cpu", "CPU", plots.cpu(found), f"{sides} {median}"),
        ("ratio", "Ratio against CPU", plots.ratio_against_cpu(found), better),
    ):
        yield Plot(f"{name}-{key}", title, caption), figure


def _left(name: str, found: Comparison) -> Iterator[tuple[Plot, Figure]]:
    """The plot over time of all methods; none if no run has a timeline."""
    figure = timeline.left_over_time(found)
    if figure is not None:
        caption = "Guest memory still to be sent, in the median run of each method."
        yield Plot(f"{name}-left", "Bytes left, all methods", caption), figure


def _chooser(name: str, found: Comparison, figures: dict[str, Figure]) -> Chooser | None:
    look = styles(found)
    choices: dict[str, tuple[Choice, ...]] = {}
    for index, case in enumerate(found.cases):
        if timed := [number for number, run in enumerate(case.runs) if run.timeline]:
            group = tuple(_choice(f"{name}-{index}", case, number) for number in timed)
            drawn = (
                timeline.one_run(case.runs[number], look[case.label].colour) for number in timed
            )
            choices[case.label] = group
            figures.update(zip((one.figure for one in group), drawn, strict=True))
    every = [one for group in choices.values() for one in group]
    first = next((one for one in every if one.median), next(iter(every), None))
    return None if first is None else Chooser(name, first.figure, choices)


def _choice(name: str, case: CaseRuns, number: int) -> Choice:
    failed, median = bool(case.runs[number].error), number == timeline.median_run(case)
    remark = ", failed" if failed else ", the median" if median else ""
    return Choice(f"{name}-{number}", f"run {number + 1}{remark}", median)
