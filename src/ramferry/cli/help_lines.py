"""The lines of ``--help`` break at spaces only, so that a file's or an option's name can be read,
and copied, whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import click

_UNBREAKABLE: Final = "\N{NON-BREAKING HYPHEN}"
"""Stands for a hyphen while lines are made: click and textwrap break at that."""


class _WholeWords(click.HelpFormatter):
    def write_text(self, text: str) -> None:
        """See ``click.HelpFormatter``."""
        super().write_text(text.replace("-", _UNBREAKABLE))

    def write_dl(self, rows: Iterable[tuple[str, str]], *more: Any, **named: Any) -> None:
        """See ``click.HelpFormatter``."""
        whole = [(term, text.replace("-", _UNBREAKABLE)) for term, text in rows]
        super().write_dl(whole, *more, **named)

    def getvalue(self) -> str:
        """See ``click.HelpFormatter``."""
        return super().getvalue().replace(_UNBREAKABLE, "-")


class HelpContext(click.Context):
    """The context of a command whose help is made so."""

    formatter_class = _WholeWords
