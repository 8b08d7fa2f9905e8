"""A table as lines of plain text, its columns aligned by spaces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

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
    # without headings and rows there are no cells, and no lines
    columns = zip(grid.columns, zip(*table, strict=True), strict=bool(table))
    widths = [max(column.least, *map(len, cells)) for column, cells in columns]
    return [_line(cells, grid.columns, widths, indent) for cells in table]


def draw(grid: Grid) -> str:
    """The lines as one text that ends in a line end."""
    return "".join(f"{line}\n" for line in lines(grid))


def headings(columns: Sequence[Column]) -> list[list[str]]:
    """The lines above a table, a cell for each column: the lines of the titles, then the units."""
    titles = zip_longest(*(column.title.split("\n") for column in columns), fillvalue="")
    rows = [*map(list, titles), [column.unit for column in columns]]
    return [line for line in rows if any(line)]


def _line(
    cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int], indent: str
) -> str:
    padded = (
        cell.ljust(width) if column.words else cell.rjust(width)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    )
    return (indent + BETWEEN.join(padded)).rstrip()
