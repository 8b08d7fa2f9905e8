"""Where results go: the table to standard output, the JSON document where it was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import IO

from rich.console import Console

from ramferry.metrics import MigrationResult
from ramferry.report.document import document, write_document
from ramferry.report.table import print_table


def show(
    results: Sequence[MigrationResult],
    json_file: IO[str] | None,
    about: Mapping[str, object] | None = None,
) -> None:
    """Print the table; write the document, and where that is standard output, the table beside it.

    :raise HostError: the document cannot be written.
    """
    taken = json_file is not None and json_file.name == "<stdout>"
    print_table(results, Console(stderr=taken, highlight=False))
    if json_file is not None:
        write_document(document(results, about), json_file)
