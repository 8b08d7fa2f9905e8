"""The body of the page: chapters with their tables and plots, and the changes between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ramferry.report.benchmark.chapters import Chapter, Report
from ramferry.report.benchmark.comparison import CaseRuns
from ramferry.report.benchmark.differences import Named, pairs
from ramferry.report.benchmark.grids import Grid
from ramferry.report.formats import plots, timeline
from ramferry.report.formats.escaping import in_html
from ramferry.report.formats.figures import Figure, Style, styles
from ramferry.report.formats.markup import definitions, paragraph, section, table


class Body:
    """Writes the body once, and collects the figures that it shows."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._figures: dict[str, Figure] = {}

    @property
    def figures(self) -> Mapping[str, Figure]:
        """By the names that the body's elements carry; complete when the body is written."""
        return self._figures

    def write(self) -> str:
        """Changes first, where there is more than one comparison; then the chapters."""
        chapters = self._report.chapters
        parts = [self._chapter(f"c{number}", one) for number, one in enumerate(chapters)]
        return self._changes() + "".join(parts)

    def _changes(self) -> str:
        measured = [chapter.measured for chapter in self._report.chapters]
        both = zip(pairs(measured), self._report.differences, strict=True)
        return "".join(
            self._change(f"changes-{number}", before, after, grid)
            for number, ((before, after), grid) in enumerate(both)
        )

    def _change(self, name: str, before: Named, after: Named, grid: Grid) -> str:
        said = f"Total time of each method: pale {before.name}, full {after.name}."
        plot = self._plot(name, plots.before_and_after(before, after), said)
        return section(f"Changes: {grid.title}", table(grid) + plot, "wide")

    def _chapter(self, name: str, chapter: Chapter) -> str:
        results, *others = chapter.tables
        return (
            f'<article id="{name}">\n{_head(chapter)}<div class="cards">\n'
            + section(results.title, table(results), "wide")
            + self._charts(name, chapter.measured)
            + self._over_time(name, chapter.measured)
            + "".join(section(grid.title, table(grid), "wide") for grid in others)
            + "".join(section(grid.title, definitions(grid)) for grid in chapter.facts)
            + "</div>\n</article>\n"
        )

    def _charts(self, name: str, measured: Named) -> str:
        found = measured.comparison
        if not any(case.results for case in found.cases):
            return ""
        still = "How long the guest stood still."
        median = "Medians; the line spans all runs."
        told = any(case.forecast for case in found.cases)
        forecast = " Diamonds: the forecast of ramferry plan time." if told else ""
        sides = "Full: the sending side; pale: the receiving side. Per GiB of the guest's memory."
        better = "Up and to the left is better. Small marks are runs, large ones medians."
        drawn = (
            ("time", "Total time", plots.total_time(found), median + forecast),
            ("downtime", "Downtime", plots.downtime(found), f"{still} {median}"),
            ("cpu", "CPU", plots.cpu(found), f"{sides} {median}"),
            ("ratio", "Ratio against CPU", plots.ratio_against_cpu(found), better),
        )
        return "".join(
            section(title, self._plot(f"{name}-{key}", figure, said))
            for key, title, figure, said in drawn
        )

    def _over_time(self, name: str, measured: Named) -> str:
        overview = timeline.left_over_time(measured.comparison)
        chooser = self._chooser(name, measured)
        if overview is None:
            return chooser
        said = "Guest memory still to be sent, in the median run of each method."
        plot = self._plot(f"{name}-left", overview, said)
        return section("Bytes left, all methods", plot) + chooser

    def _chooser(self, name: str, measured: Named) -> str:
        """One plot, and a list of the runs that it can show."""
        cases = measured.comparison.cases
        look = styles(measured.comparison)
        groups = [
            (case, list(self._timed(f"{name}-run-{index}", case, look[case.label])))
            for index, case in enumerate(cases)
        ]
        groups = [(case, timed) for case, timed in groups if timed]
        if not groups:
            return ""
        chosen = next((one for _, timed in groups for one in timed if "median" in one[1]), None)
        first = (chosen or groups[0][1][0])[0]
        options = "".join(_group(case.label, timed, first) for case, timed in groups)
        said = (
            "Dotted: where an iteration began, by its number. Full: the switchover, from which on"
            " the guest stood still."
        )
        choice = f'<select data-place="{name}-run">{options}</select>'
        plot = _place(f"{name}-run", first, "Rates and bytes left over time in the chosen run")
        content = f"<label>Run {choice}</label>\n{plot}{paragraph(said, 'said')}"
        return section("Rate and bytes left, run by run", content)

    def _timed(self, name: str, case: CaseRuns, look: Style) -> Iterator[tuple[str, str]]:
        """Keeps a figure for each run with a timeline; yields its name and what it is called."""
        middle = timeline.median_run(case)
        for number, run in enumerate(case.runs):
            if run.timeline:
                self._figures[f"{name}-{number}"] = timeline.one_run(run, look.colour)
                remark = ", failed" if run.error else ", the median" if number == middle else ""
                yield f"{name}-{number}", f"run {number + 1}{remark}"

    def _plot(self, name: str, figure: Figure, said: str) -> str:
        self._figures[name] = figure
        return _place(name, name, said) + paragraph(said, "said")


def _head(chapter: Chapter) -> str:
    tiles = "".join(
        f"<div><dt>{in_html(what)}</dt><dd>{in_html(label)}<small>{in_html(figure)}</small></dd>"
        "</div>\n"
        for what, label, figure in chapter.headlines
    )
    warned = "".join(paragraph(warning) for warning in chapter.warnings)
    warned = f'<div class="warning">{warned}</div>\n' if warned else ""
    return (
        f'<header>\n<p class="file">{in_html(chapter.measured.name)}</p>\n'
        f"<h1>{in_html(chapter.title)}</h1>\n{paragraph(chapter.description, 'lead')}{warned}"
        + (f'<dl class="tiles">{tiles}</dl>\n' if tiles else "")
        + "</header>\n"
    )


def _group(label: str, timed: list[tuple[str, str]], first: str) -> str:
    options = "".join(
        f'<option value="{key}"{" selected" if key == first else ""}>'
        f"{in_html(label)}, {in_html(said)}</option>"
        for key, said in timed
    )
    return f'<optgroup label="{in_html(label)}">{options}</optgroup>'


def _place(name: str, figure: str, said: str) -> str:
    return (
        f'<div class="plot" id="{name}" data-figure="{figure}" role="img"'
        f' aria-label="{in_html(said)}"></div>\n'
    )
