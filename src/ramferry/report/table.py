"""The result table: one row a migration, the columns of QEMU's QATzip documentation first."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ramferry.metrics import MigrationResult
from ramferry.report.text_table import aligned

NOT_KNOWN = "n/a"
"""A remote side's CPU; wire bytes that nobody counted."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: three lines of heading, the unit last, and how a result is written in it."""

    heading: tuple[str, str, str]
    cell: Callable[[MigrationResult], str]
    left: bool = False


def _percent(value: float | None) -> str:
    return NOT_KNOWN if value is None else f"{value:.0f}"


def _of_wire(result: MigrationResult, text: str) -> str:
    return text if result.wire_bytes else NOT_KNOWN


def _label(result: MigrationResult) -> str:
    return result.name if result.level is None else f"{result.name} {result.level}"


COLUMNS = (
    Column(("method", "level", ""), _label, left=True),
    Column(("total", "time", "ms"), lambda r: str(r.total_ms)),
    Column(("down-", "time", "ms"), lambda r: str(r.downtime_ms)),
    Column(("through-", "put", "mbps"), lambda r: _of_wire(r, f"{r.mbps:.0f}")),
    Column(("pages", "per", "second"), lambda r: f"{r.pages_per_second:.0f}"),
    Column(("send", "CPU", "%"), lambda r: _percent(r.send_cpu_percent)),
    Column(("recv", "CPU", "%"), lambda r: _percent(r.recv_cpu_percent)),
    Column(("wire", "bytes", ""), lambda r: _of_wire(r, str(r.wire_bytes))),
    Column(("ratio", "", ""), lambda r: _of_wire(r, f"{r.ratio:.2f}")),
    Column(("backend", "", ""), lambda r: r.backend, left=True),
)
"""In the order of the table; CPU in % of one core, wire in 10^6 bit/s, ratio of normal pages."""


def print_table(results: Sequence[MigrationResult], console: Console) -> None:
    """Draw the table on a terminal; where it is none, or too narrow, print it as plain text."""
    table = rich_table(results)
    wanted = console.measure(table, options=console.options.update_width(sys.maxsize)).maximum
    if console.is_terminal and wanted <= console.width:
        console.print(table)
    else:
        console.file.write(plain_table(results))


def rich_table(results: Sequence[MigrationResult]) -> Table:
    """For a terminal."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in COLUMNS:
        *words, unit = column.heading
        heading = Text.assemble("\n".join(words), "\n", (unit, "dim"))
        table.add_column(heading, justify="left" if column.left else "right", no_wrap=True)
    for result in results:
        table.add_row(*(column.cell(result) for column in COLUMNS))
    return table


def plain_table(results: Sequence[MigrationResult]) -> str:
    """Three lines of headings, then a line a result; columns aligned by spaces."""
    rows = [[column.heading[line] for column in COLUMNS] for line in range(3)]
    rows += [[column.cell(result) for column in COLUMNS] for result in results]
    left = {index for index, column in enumerate(COLUMNS) if column.left}
    return "".join(f"{line}\n" for line in aligned(rows, left))
