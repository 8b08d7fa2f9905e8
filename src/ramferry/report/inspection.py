"""What ``inspect`` found, as tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ramferry.metrics import Inspection
from ramferry.units import memory


def print_inspection(found: Inspection, console: Console) -> None:
    """Print everything there is, a table for each kind of thing."""
    kind = " in ".join([found.kind, *reversed(found.wrapping)])
    about = [kind, found.machine, f"pages of {found.page_size} bytes"]
    if found.method:
        about.append(f"method {found.method}")
    if found.rounds:
        about.append(f"{found.rounds} sync marks")
    console.print(_shown(", ".join(part for part in about if part)), soft_wrap=True)
    if found.blocks:
        _blocks(found, console)
    if found.channels:
        _channels(found, console)
    if found.devices:
        _devices(found, console)


def _shown(text: str) -> Text:
    """Text from a stranger: neither markup nor what a terminal obeys."""
    return Text("".join(one if one.isprintable() else ascii(one)[1:-1] for one in text))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    return table


def _blocks(found: Inspection, console: Console) -> None:
    table = _table("RAM block", "size", "pages", "zero", "repeated", "payload", "ratio")
    for block in found.blocks:
        table.add_row(
            _shown(block.name),
            memory(block.size) if block.size else "?",
            str(block.pages),
            str(block.zero_pages),
            str(block.repeated),
            memory(block.payload_bytes),
            f"{block.ratio:.2f}" if block.ratio else "-",
        )
    console.print()
    console.print(table)


def _channels(found: Inspection, console: Console) -> None:
    table = _table("channel", "method", "bytes", "packets", "syncs")
    for one in found.channels:
        table.add_row(
            _shown(one.name), one.method or "-", str(one.size), str(one.packets), str(one.syncs)
        )
    console.print()
    console.print(table)


def _devices(found: Inspection, console: Console) -> None:
    table = _table("device", "instance", "version", "bytes")
    for one in found.devices:
        table.add_row(_shown(one.name), str(one.instance), str(one.version), str(one.size))
    console.print()
    console.print(table)
