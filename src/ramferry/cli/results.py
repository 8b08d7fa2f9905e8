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
    headline: str = "",
) -> None:
    """Print ``headline`` and the table, and write the document.

    Where the document goes to standard output, the other two go to standard error.

    :raise HostError: the document cannot be written.
    """
    taken = json_file is not None and json_file.name == "<stdout>"
    console = Console(stderr=taken, highlight=False)
    if headline:
        console.print(headline, markup=False, soft_wrap=not console.is_terminal)
    print_table(results, console)
    if json_file is not None:
        write_document(document(results, about), json_file)
