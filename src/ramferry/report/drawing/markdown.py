"""A table as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from ramferry.report.drawing.escaping import in_markdown
from ramferry.report.grid import Cell, Column, Grid


def draw(grid: Grid) -> str:
    """A line for the headings, one for the alignment, one for each row; no line end behind them."""
    lines = [
        _line(_heading(column) for column in grid.columns),
        _line("---" if column.words else "---:" for column in grid.columns),
        *(_line(map(_cell, row)) for row in grid.rows),
    ]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _heading(column: Column) -> str:
    unit = f", {column.unit}" if column.unit else ""
    return in_markdown(column.heading + unit)


def _cell(cell: Cell) -> str:
    below = f" ({in_markdown(cell.below)})" if cell.below else ""
    return in_markdown(cell.text) + below
