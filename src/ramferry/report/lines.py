"""Lines that fold at the terminal's width under a hanging indent; whole where there is no terminal.

Commands never fold, so that they can be copied, nor do rows of tables.
"""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.text import Text

NARROWEST = 40
"""Columns below which folding would only tear words apart."""


class Lines:
    """Prints to one console."""

    def __init__(self, console: Console, *, fold: bool | None = None) -> None:
        """:param fold: None: where the console is a terminal."""
        self._console = console
        folds = console.is_terminal if fold is None else fold
        self._width = max(NARROWEST, console.width) if folds else None

    def write(self, text: str, *, indent: str = "", first: str = "", style: str = "") -> None:
        """A paragraph; ``first`` stands before its first line, in the place of the indent."""
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

    def row(self, text: str, *, style: str = "") -> None:
        """A line of a table, on one line however long."""
        self._print(Text(text, style))

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
