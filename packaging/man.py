"""Writes the manual pages: ramferry(1), and one for each command and subcommand.

    python packaging/man.py FOLDER

Everything in them is what ``--help`` says. With ``SOURCE_DATE_EPOCH`` set the same code makes the
same bytes. The language is man(7)'s, as groff and mandoc read it.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from ramferry import __version__, errors
from ramferry.cli import table
from ramferry.cli.lazy import LazyGroup

_SPECIAL: Final = {"\\": r"\e", "-": r"\-", "^": r"\(ha", "~": r"\(ti", "'": r"\(aq", "`": r"\(ga"}
_QUOTED: Final = re.compile(r"`([^`\n]+)`")
_AS_IT_IS: Final = "\b"
"""What click wants in front of a paragraph whose lines are not to be broken anew."""


def escaped(text: str) -> str:
    """Text without what roff would take for another character."""
    return "".join(_SPECIAL.get(sign) or _sign(sign) for sign in text)


def _sign(sign: str) -> str:
    return sign if sign.isascii() else f"\\[u{ord(sign):04X}]"


def words(text: str) -> str:
    """One paragraph: what stands in backquotes is bold."""
    parts = _QUOTED.split(" ".join(text.split()))
    bold = [rf"\fB{escaped(part)}\fR" if i % 2 else escaped(part) for i, part in enumerate(parts)]
    return filled("".join(bold))


def filled(text: str) -> str:
    """Text in lines of which none is a request."""
    lines = textwrap.wrap(text, 79, break_long_words=False, break_on_hyphens=False)
    return "\n".join(rf"\&{line}" if line.startswith(".") else line for line in lines)


def paragraphs(text: str) -> Iterator[str]:
    """The lines of a help text, with a macro between paragraphs."""
    for i, paragraph in enumerate(part for part in text.split("\n\n") if part.strip()):
        if i:
            yield ".PP"
        yield words(paragraph.removeprefix(_AS_IT_IS))


def term(names: str) -> str:
    """``-k, --keep FILE``, as ``--help`` has it: options bold, values in italics."""
    styled = [
        rf"\fB{escaped(word)}\fR" if word.startswith("-") else rf"\fI{_choices(word)}\fR"
        for word in names.split()
    ]
    return " ".join(styled).replace(r"\fI/\fR", "/")


def _choices(word: str) -> str:
    """A value's name; a line may end between two choices."""
    return escaped(word).replace("|", r"|\:")


def entries(rows: Iterator[tuple[str, str]]) -> Iterator[str]:
    """A list of terms, each with a paragraph."""
    for names, text in rows:
        yield ".TP"
        yield term(names)
        yield words(text)


def page(words_: list[str], line: str, context: click.Context) -> str:
    """A page.

    :param words_: the command, ``ramferry`` first.
    :param line: what it does, on one line.
    """
    command, name = context.command, "-".join(words_)
    options = (
        record
        for one in command.get_params(context)
        if (record := _record(one, context)) and record[1]
    )
    lines = [
        f'.TH "{escaped(name.upper())}" 1 {_date()} "ramferry {__version__}" "User Commands"',
        ".nh",
        ".ad l",
        ".SH NAME",
        filled(rf"{escaped(name)} \- {escaped(line.replace('`', ''))}"),
        ".SH SYNOPSIS",
        filled(rf"\fB{escaped(' '.join(words_))}\fR {_usage(context)}"),
        ".SH DESCRIPTION",
        *paragraphs(command.help or line),
        ".SH OPTIONS",
        *entries(options),
    ]
    if isinstance(command, LazyGroup):
        lines += [".SH COMMANDS", *_parts(words_, command)]
    if command.epilog:
        title = "EXIT STATUS" if "Exit codes" in command.epilog else "NOTES"
        lines += [f".SH {title}", *paragraphs(command.epilog)]
    if len(words_) == 1:
        lines += [".SH EXIT STATUS", *entries(_exit_codes())]
    lines += [".SH SEE ALSO", _see_also(words_, command)]
    return "\n".join(lines) + "\n"


def _record(parameter: click.Parameter, context: click.Context) -> tuple[str, str] | None:
    return parameter.get_help_record(context)


def _usage(context: click.Context) -> str:
    pieces = context.command.collect_usage_pieces(context)
    return " ".join(rf"\fI{escaped(piece)}\fR" for piece in pieces)


def _parts(words_: list[str], group: LazyGroup) -> Iterator[str]:
    for part, line in group.parts.items():
        yield from (".TP", rf"\fB{escaped('-'.join([*words_, part]))}\fR(1)", words(line))


def _exit_codes() -> Iterator[tuple[str, str]]:
    """Of every command; each command's own page says what they mean there."""
    yield "0", "Done."
    kinds: list[Any] = [errors.RamferryError, *errors.RamferryError.__subclasses__()]
    for kind in sorted(kinds, key=lambda one: one.exit_code):
        said = (kind.__doc__ or "").partition("\n\n")[0].replace("``", "")
        yield str(kind.exit_code), "Unforeseen." if kind is errors.RamferryError else said
    yield "130", "Interrupted before it was at work: nothing was touched."


def _see_also(words_: list[str], command: click.Command) -> str:
    if isinstance(command, LazyGroup):
        near = ["-".join([*words_, part]) for part in command.parts]
    else:
        near = ["-".join(words_[:-1])]
    above = ["ramferry"] if len(words_) > 1 and "ramferry" not in near else []
    return ",\n".join(rf"\fB{escaped(name)}\fR(1)" for name in sorted([*above, *near]))


def _date() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return time.strftime("%Y-%m-%d", time.gmtime(int(epoch) if epoch else None))


def pages(
    words_: list[str], line: str, command: click.Command, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """File name → page, of a command and those below it."""
    # as wide as can be: lines are broken by who shows the page
    settings = {**command.context_settings, "max_content_width": 10_000}
    context = command.context_class(command, parent, " ".join(words_), **settings)
    yield "-".join(words_) + ".1", page(words_, line, context)
    if isinstance(command, LazyGroup):
        for name, about in command.parts.items():
            part = command.get_command(context, name)
            assert part is not None, name
            yield from pages([*words_, name], about, part, context)


def main() -> None:
    """Write them all."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    about = (table.help or "").rstrip(".")
    for name, text in pages(["ramferry"], about[:1].lower() + about[1:], table):
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
