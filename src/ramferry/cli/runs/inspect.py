"""What ``ramferry inspect`` does; its options are in ``cli.inspect``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO

import click
from rich.console import Console

from ramferry.cli.json_file import JsonFile
from ramferry.cli.pipes import ended_by_closed_pipes
from ramferry.cli.results import put
from ramferry.errors import RemoteProtocolError
from ramferry.flows import inspection
from ramferry.metrics.document import document
from ramferry.metrics.inspection import Inspection
from ramferry.report.inspection import print_inspection


def run(what: Path | None, page_size: str, json_file: JsonFile | None) -> None:
    """Run it, with the values of its options."""
    if what is None:
        taken = " (--json took what follows it as its FILE)" if json_file else ""
        raise click.UsageError(f"Missing argument 'WHAT'{taken}.")
    with ended_by_closed_pipes():
        found = _inspect(what, int(page_size))
        put(document("inspection", asdict(found)), json_file, lambda out: _draw(found, out))
    if found.fault:
        raise _Damaged(found.fault)


def _draw(found: Inspection, out: IO[str]) -> None:
    console = Console(file=out, highlight=False)
    if not console.is_terminal:
        console.width = 200
    print_inspection(found, console)


class _Damaged(RemoteProtocolError):
    """The data is damaged; what could be read has been printed."""

    def __init__(self, fault: str) -> None:
        super().__init__("sound data", fault)
        self._fault = fault

    def __str__(self) -> str:
        return f"damaged: {self._fault}"


def _inspect(what: Path, page_size: int) -> Inspection:
    if str(what) == "-":
        return inspection.inspect(sys.stdin.buffer, page_size=page_size)
    if what.is_dir():
        return inspection.inspect_folder(what, page_size=page_size)
    # what is read from a pipe is gone
    if what.is_file() and inspection.is_archive(what):
        return inspection.inspect_archive(what)
    with what.open("rb") as file:
        return inspection.inspect(file, page_size=page_size)
