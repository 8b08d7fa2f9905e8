"""The report as Markdown with tables, for a pull request or a wiki."""

from __future__ import annotations

from collections.abc import Iterable

from ramferry.report.benchmark.chapters import Chapter, Report
from ramferry.report.benchmark.grids import Cell, Column, Grid
from ramferry.report.formats.escaping import in_markdown


def draw(report: Report) -> str:
    """All chapters, then the differences."""
    parts = [part for chapter in report.chapters for part in _chapter(chapter)]
    if report.differences:
        parts.append("# Changes")
        parts += [part for grid in report.differences for part in _grid(grid)]
    return "\n\n".join(parts) + "\n"


def _chapter(chapter: Chapter) -> list[str]:
    head = [f"# {in_markdown(chapter.title)}", in_markdown(chapter.description)]
    head += [f"> {in_markdown(warning)}" for warning in chapter.warnings]
    said = [
        f"- {what}: **{in_markdown(label)}**, {in_markdown(figure)}"
        for what, label, figure in chapter.headlines
    ]
    grids = [part for grid in (*chapter.tables, *chapter.facts) for part in _grid(grid)]
    return [part for part in (*head, "\n".join(said), *grids) if part]


def _grid(grid: Grid) -> list[str]:
    lines = [
        _row(_heading(column) for column in grid.columns),
        _row("---" if column.words else "---:" for column in grid.columns),
        *(_row(_cell(cell) for cell in row) for row in grid.rows),
    ]
    notes = "\n".join(f"{in_markdown(note)}  " for note in grid.notes)
    return [f"## {in_markdown(grid.title)}", "\n".join(lines), *([notes] if notes else [])]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _heading(column: Column) -> str:
    unit = f", {column.unit}" if column.unit else ""
    return in_markdown(column.heading + unit)


def _cell(cell: Cell) -> str:
    below = f" ({in_markdown(cell.below)})" if cell.below else ""
    return in_markdown(cell.text) + below
