"""The report as plain text."""

from __future__ import annotations

from ramferry.report.benchmark.chapters import Chapter, Report
from ramferry.report.drawing.escaping import printable
from ramferry.report.drawing.text import lines
from ramferry.report.grid import Grid


def draw(report: Report) -> str:
    """All chapters, then the differences."""
    parts = [part for chapter in report.chapters for part in _chapter(chapter)]
    parts += [_grid(grid, f"Changes: {grid.title}") for grid in report.differences]
    return "\n".join(parts)


def _chapter(chapter: Chapter) -> list[str]:
    name = f"{chapter.title} ({chapter.measured.name})"
    said = [f"{what}: {label}, {figure}" for what, label, figure in chapter.headlines]
    head = [name, "=" * len(name), chapter.description, *chapter.warnings, *said]
    opening = "".join(f"{printable(line)}\n" for line in head if line)
    return [opening, *(_grid(grid, grid.title) for grid in (*chapter.tables, *chapter.facts))]


def _grid(grid: Grid, title: str) -> str:
    notes = [printable(note) for note in grid.notes]
    return "".join(f"{line}\n" for line in [printable(title), *lines(grid, "  "), *notes])
