"""Pieces of HTML; every text that comes in is escaped here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ramferry.report.benchmark.grids import Cell, Column, Grid
from ramferry.report.formats.escaping import in_html

_LONG_NUMBER = re.compile(r"(?<![\d.])\d{5,}(?![\d.])")
_THIN = "\N{NARROW NO-BREAK SPACE}"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph, of a class; nothing for no text."""
    return f"<p{_class(kind)}>{in_html(text)}</p>\n" if text else ""


def section(title: str, content: str, kind: str = "") -> str:
    """A card with a heading; ``content`` is HTML already."""
    return f"<section{_class(kind)}>\n<h2>{in_html(title)}</h2>\n{content}</section>\n"


def table(grid: Grid) -> str:
    """A table that scrolls in a box of its own, and its notes."""
    headings = "".join(_heading(column) for column in grid.columns)
    rows = "".join(_row(grid.columns, row) for row in grid.rows)
    notes = "".join(f"<li>{in_html(note)}</li>" for note in grid.notes)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{in_html(grid.title)}">'
        f"<table><thead><tr>{headings}</tr></thead>\n<tbody>{rows}</tbody></table></div>\n"
        + (f'<ul class="notes">{notes}</ul>\n' if notes else "")
    )


def definitions(grid: Grid) -> str:
    """A table of two columns as names and what they mean."""
    pairs = "".join(
        f"<div><dt>{in_html(row[0].text)}</dt><dd>{in_html(row[1].text)}</dd></div>\n"
        for row in grid.rows
    )
    return f"<dl>{pairs}</dl>\n"


def _heading(column: Column) -> str:
    unit = f"<small>{in_html(column.unit)}</small>" if column.unit else ""
    return f'<th scope="col"{_class("words" if column.words else "")}>' + (
        f"{in_html(column.heading)}{unit}</th>"
    )


def _row(columns: Sequence[Column], row: Sequence[Cell]) -> str:
    cells = [_cell(column, cell) for column, cell in zip(columns[1:], row[1:], strict=True)]
    first = f'<th scope="row"{_class(_kind(columns[0], row[0]))}>{in_html(row[0].text)}</th>'
    return f"<tr>{first}{''.join(cells)}</tr>\n"


def _cell(column: Column, cell: Cell) -> str:
    text = in_html(cell.text) if column.words else _grouped(in_html(cell.text))
    below = f"<small>{_grouped(in_html(cell.below))}</small>" if cell.below else ""
    return f"<td{_class(_kind(column, cell))}>{text}{below}</td>"


def _kind(column: Column, cell: Cell) -> str:
    return " ".join(
        kind for kind, holds in (("words", column.words), ("faint", cell.faint)) if holds
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _grouped(text: str) -> str:
    """Whole numbers of five and more digits, in groups of three."""
    return _LONG_NUMBER.sub(lambda found: f"{int(found[0]):,}".replace(",", _THIN), text)
