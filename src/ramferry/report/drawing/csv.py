"""A table as CSV, for a spreadsheet."""

from __future__ import annotations

import csv
import io

from ramferry.report.drawing.escaping import in_csv
from ramferry.report.grid import Grid


def draw(grid: Grid) -> str:
    """A line of headings and a line for each row.

    Words are guarded from being computed as a formula; figures stay as they are, -1 too.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(column.heading for column in grid.columns)
    for row in grid.rows:
        writer.writerow(
            in_csv(cell.text) if column.words else cell.text
            for column, cell in zip(grid.columns, row, strict=True)
        )
    return out.getvalue()
