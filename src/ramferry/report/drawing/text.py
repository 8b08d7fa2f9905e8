"""A table as lines of plain text, its columns aligned by spaces."""

from __future__ import annotations

from collections.abc import Sequence

from ramferry.report.drawing.escaping import printable
from ramferry.report.grid import Column, Grid

BETWEEN = "  "
"""Stands between two columns."""


def lines(grid: Grid, indent: str = "") -> list[str]:
    """The headings, then each row, on two lines if a cell of it has something below.

    No line ends in spaces.
    """
    table = headings(grid.columns)
    for row in grid.rows:
        table.append([printable(cell.text) for cell in row])
        if any(cell.below for cell in row):
            table.append([printable(cell.below) for cell in row])
    longest = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    widths = [max(*both) for both in zip(longest, _least(grid.columns), strict=True)]
    return [_line(cells, grid.columns, widths, indent) for cells in table]


def draw(grid: Grid) -> str:
    """The lines as one text that ends in a line end."""
    return "".join(f"{line}\n" for line in lines(grid))


def headings(columns: Sequence[Column]) -> list[list[str]]:
    """The lines above a table, a cell for each column: the lines of the titles, then the units."""
    titles = [column.title.split("\n") for column in columns]
    height = max(map(len, titles))
    found = [[*title, *[""] * (height - len(title))] for title in titles]
    rows = [*(list(line) for line in zip(*found, strict=True)), [one.unit for one in columns]]
    return [line for line in rows if any(line)]


def _least(columns: Sequence[Column]) -> list[int]:
    return [column.least for column in columns]


def _line(
    cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int], indent: str
) -> str:
    padded = (
        cell.ljust(width) if column.words else cell.rjust(width)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    )
    return (indent + BETWEEN.join(padded)).rstrip()
