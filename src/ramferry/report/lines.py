"""Lines that fold at the terminal's width, and line up under their first one.

Without a terminal nothing folds. Commands never do, so that they can be copied, nor do tables.
"""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.text import Text

from ramferry.report.drawing import terminal
from ramferry.report.grid import Grid

NARROWEST = 40
"""Columns below which folding would only tear words apart."""


class Lines:
    """Prints to one console."""

    def __init__(self, console: Console, *, fold: bool | None = None) -> None:
        """
        :param fold: whether lines fold; None: if the console is a terminal.
        """
        self._console = console
        folds = console.is_terminal if fold is None else fold
        self._width = max(NARROWEST, console.width) if folds else None

    def write(self, text: str, *, indent: str = "", first: str = "", style: str = "") -> None:
        """A paragraph, indented; ``first`` takes the place of the indent in its first line."""
        for number, line in enumerate(self._folded(text, len(indent))):
            lead = first.ljust(len(indent)) if number == 0 else indent
            self._print(Text(lead).append(line, style) if style else Text(lead + line))

    def command(self, line: str, *, indent: str = "") -> None:
        """A line for a shell, on one line however long."""
        self._print(Text(indent).append("$ ", "dim").append(line, "cyan"))

    def labelled(self, label: str, text: str, *, indent: str, style: str) -> None:
        """A paragraph behind a coloured word."""
        first, *rest = self._folded(text, len(indent))
        self._print(Text().append(label.ljust(len(indent)), style).append(first))
        for line in rest:
            self._print(Text(indent + line))

    def table(self, grid: Grid, *, indent: str = "") -> None:
        """A table, each of its lines on one line however long."""
        terminal.draw(grid, self._console, indent)

    def blank(self) -> None:
        """An empty line."""
        self._print(Text())

    def _folded(self, text: str, indent: int) -> list[str]:
        if self._width is None:
            return [text]
        width = max(NARROWEST // 2, self._width - indent)
        return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True, highlight=False)
