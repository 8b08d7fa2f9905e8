"""Text out of a file made harmless for each format: on a terminal, in plotly, Markdown and CSV.

The page's template escapes by itself.
"""

from __future__ import annotations

import html
import re

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|&~])")
_BLOCK = re.compile(r"^(?=[#+=-])|^(\d+)(?=[.)](?:\s|$))")
_FORMULA = ("=", "+", "-", "@", "\t")


def printable(text: str) -> str:
    """Replace control characters, line ends, lone surrogates and changes of direction."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)


def in_plot(text: str) -> str:
    """For a text in plotly, which interprets some of HTML's elements and entities."""
    return html.escape(printable(text), quote=False)


def in_markdown(text: str) -> str:
    """For a line of prose or a cell of a table. Nothing in it begins a list or a heading."""
    return _BLOCK.sub(r"\1\\", _MARKDOWN.sub(r"\\\1", printable(text)))


def in_csv(text: str) -> str:
    """For a cell. A text that would be a formula to a spreadsheet gets an apostrophe before it."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
