"""What ``ramferry inspect`` found: a line about the file, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

from ramferry.metrics.inspection import Inspection
from ramferry.report.drawing import terminal
from ramferry.report.grid import Cell, Column, Grid, row
from ramferry.standard import shown
from ramferry.units import memory


def print_inspection(found: Inspection, console: Console) -> None:
    """Print everything that was found, a table for each kind of thing there is."""
    kind = " in ".join([found.kind, *reversed(found.wrapping)])
    about = [kind, memory(found.size) if found.size else "", found.machine]
    if found.created:
        about.append(f"saved {datetime.fromtimestamp(found.created):%Y-%m-%d %H:%M:%S}")
    if found.page_size:
        about.append(f"pages of {found.page_size} bytes")
    if found.method:
        about.append(f"method {found.method}")
    if found.rounds:
        about.append(f"{found.rounds} sync marks")
    console.print(Text(shown(", ".join(part for part in about if part))), soft_wrap=True)
    for grid in (_blocks(found), _channels(found), _devices(found)):
        if grid.rows:
            console.print()
            terminal.draw(grid, console)


def _grid(titles: Sequence[str], rows: Iterable[tuple[Cell, ...]]) -> Grid:
    first, *others = titles
    return Grid((Column(first, words=True), *map(Column, others)), tuple(rows))


def _blocks(found: Inspection) -> Grid:
    return _grid(
        ("RAM block", "size", "pages", "zero", "repeated", "payload", "ratio"),
        (
            row(
                shown(block.name),
                memory(block.size) if block.size else "?",
                str(block.pages),
                str(block.zero_pages),
                str(block.repeated),
                memory(block.payload_bytes),
                f"{block.ratio:.2f}" if block.ratio else "-",
            )
            for block in found.blocks
        ),
    )


def _channels(found: Inspection) -> Grid:
    return _grid(
        ("channel", "method", "bytes", "packets", "syncs"),
        (
            row(shown(one.name), one.method or "-", str(one.size), str(one.packets), str(one.syncs))
            for one in found.channels
        ),
    )


def _devices(found: Inspection) -> Grid:
    return _grid(
        ("device", "instance", "version", "bytes"),
        (
            row(shown(one.name), str(one.instance), str(one.version), str(one.size))
            for one in found.devices
        ),
    )
