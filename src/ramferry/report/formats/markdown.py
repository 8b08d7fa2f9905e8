"""The report as Markdown with tables, for a pull request or a wiki."""

from __future__ import annotations

from ramferry.report.benchmark.chapters import Chapter, Report
from ramferry.report.benchmark.series_chapter import SeriesChapter
from ramferry.report.drawing import markdown
from ramferry.report.drawing.escaping import in_markdown
from ramferry.report.grid import Grid


def draw(report: Report) -> str:
    """Series of links, all chapters, then the differences."""
    parts = [part for one in report.series for part in _series(one)]
    parts += [part for chapter in report.chapters for part in _chapter(chapter)]
    if report.differences:
        parts.append("# Changes")
        parts += [part for grid in report.differences for part in _grid(grid)]
    return "\n\n".join(parts) + "\n"


def _series(chapter: SeriesChapter) -> list[str]:
    return [*_head(chapter), *(part for grid in chapter.tables for part in _grid(grid))]


def _head(chapter: Chapter | SeriesChapter) -> list[str]:
    head = [f"# {in_markdown(chapter.title)}", in_markdown(chapter.description)]
    return [part for part in head if part] + [
        f"> {in_markdown(warning)}" for warning in chapter.warnings
    ]


def _chapter(chapter: Chapter) -> list[str]:
    said = [
        f"- {what}: **{in_markdown(label)}**, {in_markdown(figure)}"
        for what, label, figure in chapter.headlines
    ]
    grids = [part for grid in (*chapter.tables, *chapter.facts) for part in _grid(grid)]
    return [part for part in (*_head(chapter), "\n".join(said), *grids) if part]


def _grid(grid: Grid) -> list[str]:
    notes = "\n".join(f"{in_markdown(note)}  " for note in grid.notes)
    parts = (f"## {in_markdown(grid.title)}", markdown.draw(grid), notes)
    return [part for part in parts if part]
