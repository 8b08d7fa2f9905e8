"""What the page shows beside the tables: plots, and a list of runs to choose one to be plotted.

The page's template places them, and ``page.js`` draws their figures, which it finds by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ramferry.report.benchmark.chapters import Report
from ramferry.report.benchmark.comparison import CaseRuns, Comparison
from ramferry.report.benchmark.differences import pairs
from ramferry.report.benchmark.runs import median_run
from ramferry.report.benchmark.series_chapter import SeriesChapter
from ramferry.report.formats import over_rate, plots, timeline
from ramferry.report.formats.figures import Figure, styles


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure, and the texts beside it."""

    name: str
    """Unique in the page."""
    figure: Figure
    caption: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class RunChoice:
    """A run that can be chosen."""

    name: str
    """The figure's, unique in the page."""
    figure: Figure
    words: str
    """What the run is called within its case: "run 2, the median"."""
    median: bool


@dataclass(frozen=True, slots=True)
class ChapterPlots:
    """The plots of one comparison."""

    plots: tuple[Plot, ...]
    choices: Mapping[str, tuple[RunChoice, ...]]
    """By the label of their case; empty if no run has a timeline."""

    @property
    def every_choice(self) -> list[RunChoice]:
        """The choices of all cases. The first median is shown until another is chosen."""
        return [one for group in self.choices.values() for one in group]


@dataclass(frozen=True, slots=True)
class Plotted:
    """All plots of a page."""

    changes: tuple[Plot, ...]
    """In the order of the report's differences."""
    chapters: tuple[ChapterPlots, ...]
    series: tuple[tuple[Plot, ...], ...] = ()
    """Of each series of links: none if it has too few rates."""

    @property
    def figures(self) -> dict[str, Figure]:
        """All figures by name."""
        drawn: list[Plot | RunChoice] = [*self.changes]
        drawn += [plot for one in self.series for plot in one]
        for chapter in self.chapters:
            drawn += [*chapter.plots, *chapter.every_choice]
        return {one.name: one.figure for one in drawn}


def plotted(report: Report) -> Plotted:
    """Make every plot of a report."""
    measured = [chapter.measured for chapter in report.chapters]
    compared = measured[: len(report.differences) + 1]
    changes = [
        Plot(
            f"changes-{number}",
            plots.before_and_after(before, after),
            f"Total time of each method: pale {before.name}, full {after.name}.",
        )
        for number, (before, after) in enumerate(pairs(compared))
    ]
    chapters = (_chapter(f"c{number}", one.comparison) for number, one in enumerate(measured))
    series = (_series(f"s{number}", one) for number, one in enumerate(report.series))
    return Plotted(tuple(changes), tuple(chapters), tuple(series))


def _series(name: str, chapter: SeriesChapter) -> tuple[Plot, ...]:
    figure = over_rate.time_over_rate(chapter.measured.series)
    caption = (
        "Down is better. Medians; the line spans all runs. Both axes are logarithmic, and the time"
        " is for each GiB of a guest, since the guests of a fast link are larger."
    )
    return () if figure is None else (Plot(f"{name}-rates", figure, caption, "Time over rate"),)


def _chapter(name: str, found: Comparison) -> ChapterPlots:
    look = styles(found)
    choices = {
        case.label: tuple(_choices(f"{name}-run-{index}", case, look[case.label].colour))
        for index, case in enumerate(found.cases)
    }
    timed = {label: group for label, group in choices.items() if group}
    return ChapterPlots((*_charts(name, found), *_left(name, found)), timed)


def _charts(name: str, found: Comparison) -> Iterator[Plot]:
    """The plots over the cases; none if no run has a result."""
    if not any(case.results for case in found.cases):
        return
    still = "How long the guest stood still."
    median = "Medians; the line spans all runs."
    told = any(case.forecast for case in found.cases)
    forecast = " Diamonds: the forecast of ramferry plan time." if told else ""
    sides = "Full: the sending side; pale: the receiving side. Per GiB of the guest's memory."
    better = "Up and to the left is better. Small marks are runs, large ones medians."
    yield Plot(f"{name}-time", plots.total_time(found), median + forecast, "Total time")
    yield Plot(f"{name}-downtime", plots.downtime(found), f"{still} {median}", "Downtime")
    yield Plot(f"{name}-cpu", plots.cpu(found), f"{sides} {median}", "CPU")
    yield Plot(f"{name}-ratio", plots.ratio_against_cpu(found), better, "Ratio against CPU")


def _left(name: str, found: Comparison) -> Iterator[Plot]:
    """The plot over time of all methods; none if no run has a timeline."""
    figure = timeline.left_over_time(found)
    if figure is not None:
        caption = "Guest memory still to be sent, in the median run of each method."
        yield Plot(f"{name}-left", figure, caption, "Bytes left, all methods")


def _choices(name: str, case: CaseRuns, colour: str) -> Iterator[RunChoice]:
    """The runs of a case that have a timeline."""
    middle = median_run(case)
    for number, run in enumerate(case.runs):
        if run.timeline:
            remark = ", failed" if run.error else ", the median" if number == middle else ""
            figure = timeline.one_run(run, colour)
            words = f"run {number + 1}{remark}"
            yield RunChoice(f"{name}-{number}", figure, words, number == middle)
