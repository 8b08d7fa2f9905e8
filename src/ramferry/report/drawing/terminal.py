"""A table on a terminal."""

from __future__ import annotations

import sys

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ramferry.report.drawing import text
from ramferry.report.drawing.escaping import printable
from ramferry.report.grid import Cell, Grid


def draw(grid: Grid, console: Console, indent: str = "") -> None:
    """Draw a table, as plain text if the console is no terminal or is narrower than the table."""
    picture = Padding(_table(grid), (0, 0, 0, len(indent)), expand=False)
    wide = console.options.update_width(sys.maxsize)
    wanted = console.measure(picture, options=wide).maximum
    if console.is_terminal and wanted <= console.width:
        console.print(picture)
    else:
        console.file.write("".join(f"{line}\n" for line in text.lines(grid, indent)))


def _table(grid: Grid) -> Table:
    above = text.headings(grid.columns)
    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style="bold",
        show_header=bool(above),
    )
    for index, column in enumerate(grid.columns):
        *words, last = [line[index] for line in above] or [""]
        table.add_column(
            Text("\n".join([*words, ""])).append(last, "dim" if column.unit else ""),
            justify="left" if column.words else "right",
            no_wrap=True,
            min_width=column.least,
        )
    for row in grid.rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(cell: Cell) -> Text:
    shown = Text(printable(cell.text), "dim" if cell.faint else "")
    return shown.append(f"\n{printable(cell.below)}", "dim") if cell.below else shown
