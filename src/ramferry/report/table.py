"""The table of migration results: a row each, the columns of QEMU's QATzip page first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console

from ramferry.metrics import MigrationResult, shown_backend
from ramferry.report.drawing import terminal
from ramferry.report.grid import NOT_KNOWN, Column, Grid, row


def _number(value: float | None, digits: int = 0) -> str:
    return NOT_KNOWN if value is None else f"{value:.{digits}f}"


def _label(result: MigrationResult) -> str:
    return result.name if result.level is None else f"{result.name} {result.level}"


_COLUMNS: Final[tuple[tuple[Column, Callable[[MigrationResult], str]], ...]] = (
    (Column("method\nlevel", words=True), _label),
    (Column("total\ntime", "ms"), lambda r: str(r.total_time_ms)),
    (Column("down-\ntime", "ms"), lambda r: str(r.downtime_ms)),
    (Column("through-\nput", "mbps"), lambda r: _number(r.mbps)),
    (Column("pages\nper", "second"), lambda r: f"{r.pages_per_second:.0f}"),
    (Column("send\nCPU", "%"), lambda r: _number(r.send_cpu_percent)),
    (Column("recv\nCPU", "%"), lambda r: _number(r.recv_cpu_percent)),
    (Column("wire\nbytes"), lambda r: _number(r.wire_bytes)),
    (Column("ratio"), lambda r: _number(r.ratio, 2)),
    (Column("backend", words=True), lambda r: shown_backend(r.backend, r.member_size)),
)
"""Each with how a result is written in it. CPU is in % of one core, mbps is 10^6 bit/s on the wire,
the ratio is that of the pages with content."""


def print_table(results: Sequence[MigrationResult], console: Console) -> None:
    """Draw the table on a console."""
    terminal.draw(_grid(results), console)


def _grid(results: Sequence[MigrationResult]) -> Grid:
    rows = tuple(row(*(cell(result) for _, cell in _COLUMNS)) for result in results)
    return Grid(tuple(column for column, _ in _COLUMNS), rows)
