"""Text out of a file, for each format: nothing in it may act on a terminal, page or spreadsheet."""

from __future__ import annotations

import html
import re

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|&~])")
_BLOCK = re.compile(r"^(?=[#+=-])|^(\d+)(?=[.)](?:\s|$))")
_FORMULA = ("=", "+", "-", "@", "\t")


def printable(text: str) -> str:
    """Without control characters, line ends, lone surrogates and changes of direction."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def in_html(text: str) -> str:
    """For the content of an element or a quoted attribute."""
    return html.escape(printable(text))


def in_plot(text: str) -> str:
    """For plotly, whose texts know some of HTML's elements and entities."""
    return html.escape(printable(text), quote=False)


def in_markdown(text: str) -> str:
    """For a line of prose or a cell of a table; the first character begins no list or heading."""
    return _BLOCK.sub(r"\1\\", _MARKDOWN.sub(r"\\\1", printable(text)))


def in_csv(text: str) -> str:
    """For a cell; a text that a spreadsheet would compute gets an apostrophe before it."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
