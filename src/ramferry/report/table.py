"""The table of migration results: a row each, the columns of QEMU's QATzip page first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console

from ramferry.metrics import MigrationResult, Stalled, shown_members
from ramferry.report.drawing import terminal
from ramferry.report.grid import NOT_KNOWN, Column, Grid, row
from ramferry.units import duration, memory


def _number(value: float | None, digits: int = 0) -> str:
    return NOT_KNOWN if value is None else f"{value:.{digits}f}"


def _label(result: MigrationResult) -> str:
    return result.name if result.level is None else f"{result.name} {result.level}"


def _mark(result: MigrationResult) -> str:
    """Leads to a line below the table: in its last column the words would make it wider than a
    terminal of 80 columns."""
    return "*" if shown_members(result.member_size) else ""


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
    (Column("backend", words=True), lambda r: r.backend + _mark(r)),
)
"""Each with how a result is written in it. CPU is in % of one core, mbps is 10^6 bit/s on the wire,
the ratio is that of the pages with content."""


def stalled_line(stalled: Stalled) -> str:
    """What was done about a stall, and what the guest lost by it."""
    begins = f"stalled after {duration(stalled.seconds)}, {memory(stalled.left_bytes)} left"
    if stalled.action == "throttle":
        return (
            f"{begins}: auto-converge took {stalled.lost_seconds:.1f} s of each vCPU's time,"
            f" {stalled.most_percent} % at most"
        )
    did = {"pause": "the guest was stopped for the rest", "cancel": "cancelled"}
    return f"{begins}: {did.get(stalled.action, 'waited on')}"


def print_table(results: Sequence[MigrationResult], console: Console) -> None:
    """Draw the table on a console, and below it what a mark in it means."""
    grid = _grid(results)
    terminal.draw(grid, console)
    console.file.write("".join(f"{note}\n" for note in grid.notes))


def _grid(results: Sequence[MigrationResult]) -> Grid:
    rows = tuple(row(*(cell(result) for _, cell in _COLUMNS)) for result in results)
    said = dict.fromkeys(shown_members(one.member_size) for one in results)
    members = tuple(f"* {members}" for members in said if members)
    notes = (*members, *(stalled_line(one.stalled) for one in results if one.stalled))
    return Grid(tuple(column for column, _ in _COLUMNS), rows, notes=notes)
