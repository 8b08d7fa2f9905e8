"""A table before anyone draws it: columns and cells of text, without a format. Pure.

Every table of Ramferry is one of these. ``report.drawing`` has a module for each format that draws
one; the page's is in its template.
"""

from __future__ import annotations

from dataclasses import dataclass

NOT_KNOWN = "n/a"
"""What a cell says when nobody knows its figure, such as the CPU of a remote side."""


@dataclass(frozen=True, slots=True)
class Column:
    """What stands above the cells of a column, and how they are aligned."""

    title: str
    """A terminal and plain text keep its line ends; other formats put it on one line."""
    unit: str = ""
    """Stands below the title."""
    words: bool = False
    """True: words, aligned to the left. False: figures, aligned to the right."""
    least: int = 0
    """Characters that the column is wide at least, on a terminal and in plain text."""

    @property
    def heading(self) -> str:
        """The title on one line, a word that was cut by a hyphen whole again."""
        return self.title.replace("-\n", "").replace("\n", " ")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell. Its text may come from a file of a stranger: each format escapes it."""

    text: str
    below: str = ""
    """A remark in small letters, such as the spread of the runs or a verdict."""
    faint: bool = False
    """True for a cell that is no measured figure, or a figure that proves nothing."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    """Each with a cell for every column."""
    title: str = ""
    notes: tuple[str, ...] = ()
    """Sentences that belong below the table."""


def row(*texts: str) -> tuple[Cell, ...]:
    """A row of plain cells."""
    return tuple(Cell(text) for text in texts)
