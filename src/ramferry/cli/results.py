"""Where results go: the table to standard output, the JSON document where it was asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from rich.console import Console

from ramferry.cli.json_file import JsonFile
from ramferry.control.archive.overlays import overlays_clause
from ramferry.errors import HostError
from ramferry.metrics import ArchiveResult, MigrationResult
from ramferry.report import archive
from ramferry.report.document import migrations
from ramferry.report.table import print_table
from ramferry.standard import shown


def show(
    results: Sequence[MigrationResult],
    json_file: JsonFile | None,
    about: Mapping[str, object] | None = None,
    headline: str = "",
) -> None:
    """``tell`` of migrations: ``headline`` and the table."""

    def draw(out: IO[str]) -> None:
        console = Console(file=out, highlight=False)
        if headline and console.is_terminal:
            console.print(headline, markup=False)
        elif headline:
            out.write(f"{headline}\n")
        print_table(results, console)

    tell(migrations(results, about), json_file, draw)


def show_archive(result: ArchiveResult, json_file: JsonFile | None) -> None:
    """``tell`` of what was saved or restored, in sentences."""
    overlays = result.overlays
    more = f"; {overlays_clause(overlays)}" if overlays else ""

    def draw(out: IO[str]) -> None:
        for line in archive.sentences(result):
            print(shown(line), file=out)

    tell(archive.document(result), json_file, draw, more)


def tell(
    content: Mapping[str, object],
    json_file: JsonFile | None,
    draw: Callable[[IO[str]], None],
    more: str = "",
) -> None:
    """``put`` of what a command did, which stays done if it cannot be told.

    :param more: what an operator must know if document or drawing cannot be written.
    :raise HostError: one of them cannot be written; the sentence says that the work is done.
    """
    with done_all_the_same(more):
        put(content, json_file, draw)


def put(
    content: Mapping[str, object], json_file: JsonFile | None, draw: Callable[[IO[str]], None]
) -> None:
    """Write the document, then draw for a person; if one fails the other is written all the same.

    If the document goes to standard output, the drawing goes to standard error.

    :raise HostError: the document cannot be written.
    :raise OSError: the drawing cannot be written.
    """
    taken = json_file is not None and json_file.to_stdout
    try:
        if json_file is not None:
            json_file.write(content)
    finally:
        # standard output is None if the caller closed it
        out = sys.stderr if taken else sys.stdout or sys.stderr
        draw(out)
        out.flush()


@contextmanager
def done_all_the_same(more: str = "") -> Iterator[None]:
    """If a result cannot be written, say in the error that the work itself was done.

    :param more: what an operator must know in any case.
    """
    try:
        yield
    except HostError as error:
        raise HostError(f"completed, but {error}{more}") from error
    except OSError as error:
        # what is left in its buffer would fail again at the end and become the exit code
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - lives as long as the process
        why = f"cannot print the table: {error.strerror}"
        raise HostError(f"completed, but {why}{more}") from error
