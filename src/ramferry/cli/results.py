"""Where results go: the table to standard output, the JSON document where it was asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from rich.console import Console

from ramferry.errors import HostError
from ramferry.metrics import ArchiveResult, MigrationResult
from ramferry.report import archive
from ramferry.report.document import document, write_document
from ramferry.report.table import print_table


def show(
    results: Sequence[MigrationResult],
    json_file: IO[str] | None,
    about: Mapping[str, object] | None = None,
    headline: str = "",
) -> None:
    """Write the document, then print ``headline`` and the table: neither takes the other with it.

    Where the document goes to standard output, the other two go to standard error.

    :raise HostError: one of them cannot be written; the sentence says that the work is done.
    """
    taken = json_file is not None and json_file.name == "<stdout>"
    with done_all_the_same():
        try:
            if json_file is not None:
                write_document(document(results, about), json_file)
        finally:
            _print(results, headline, Console(stderr=taken, highlight=False))


def show_archive(result: ArchiveResult, json_file: IO[str] | None) -> None:
    """``show`` for what was saved or restored, in sentences.

    :raise HostError: as ``show``.
    """
    taken = json_file is not None and json_file.name == "<stdout>"
    overlays = result.overlays
    with done_all_the_same(f"; {archive.overlays_clause(overlays)}" if overlays else ""):
        try:
            if json_file is not None:
                write_document(archive.document(result), json_file)
        finally:
            # standard output is None where the caller closed it
            out = sys.stderr if taken else sys.stdout or sys.stderr
            for line in archive.sentences(result):
                print(line, file=out, flush=True)


def _print(results: Sequence[MigrationResult], headline: str, console: Console) -> None:
    if headline and console.is_terminal:
        console.print(headline, markup=False)
    elif headline:
        console.file.write(f"{headline}\n")
    print_table(results, console)
    console.file.flush()


@contextmanager
def done_all_the_same(more: str = "") -> Iterator[None]:
    """What cannot be told has happened: no exit code or sentence may read as if it had not.

    :param more: what an operator must know all the same.
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
