"""The report as plain text: columns aligned by spaces, a second line for what stands below."""

from __future__ import annotations

from ramferry.report.benchmark.chapters import Chapter, Report
from ramferry.report.benchmark.grids import Grid
from ramferry.report.formats.escaping import printable
from ramferry.report.text_table import aligned


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
    lines = _aligned(grid)
    notes = [printable(note) for note in grid.notes]
    return "".join(f"{line}\n" for line in [printable(title), *lines, *notes])


def _aligned(grid: Grid) -> list[str]:
    table = _headings(grid)
    for row in grid.rows:
        table.append([printable(cell.text) for cell in row])
        if any(cell.below for cell in row):
            table.append([printable(cell.below) for cell in row])
    words = {index for index, column in enumerate(grid.columns) if column.words}
    return [f"  {line}".rstrip() for line in aligned(table, left=words)]


def _headings(grid: Grid) -> list[list[str]]:
    both = [[one.heading for one in grid.columns], [one.unit for one in grid.columns]]
    return [line for line in both if any(line)]
