"""The report as plain text."""

from __future__ import annotations

from ramferry.report.benchmark.chapters import Chapter, Report
from ramferry.report.benchmark.series_chapter import SeriesChapter
from ramferry.report.drawing.escaping import printable
from ramferry.report.drawing.text import lines
from ramferry.report.grid import Grid


def draw(report: Report) -> str:
    """Series of links, all chapters, then the differences."""
    parts = [part for one in report.series for part in _series(one)]
    parts += [part for chapter in report.chapters for part in _chapter(chapter)]
    parts += [_grid(grid, f"Changes: {grid.title}") for grid in report.differences]
    return "\n".join(parts)


def _series(chapter: SeriesChapter) -> list[str]:
    return [_opening(chapter), *(_grid(grid, grid.title) for grid in chapter.tables)]


def _opening(chapter: Chapter | SeriesChapter, *said: str) -> str:
    name = f"{chapter.title} ({chapter.measured.name})"
    head = [name, "=" * len(name), chapter.description, *chapter.warnings, *said]
    return "".join(f"{printable(line)}\n" for line in head if line)


def _chapter(chapter: Chapter) -> list[str]:
    said = [f"{what}: {label}, {figure}" for what, label, figure in chapter.headlines]
    return [
        _opening(chapter, *said),
        *(_grid(grid, grid.title) for grid in (*chapter.tables, *chapter.facts) if grid.rows),
    ]


def _grid(grid: Grid, title: str) -> str:
    notes = [printable(note) for note in grid.notes]
    return "".join(f"{line}\n" for line in [printable(title), *lines(grid, "  "), *notes])
