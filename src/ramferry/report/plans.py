"""What ``ramferry plan memory`` and ``plan method`` print."""

from __future__ import annotations

from typing import Final

from ramferry.metrics.host import MemoryPlan, MethodAdvice
from ramferry.report.grid import NOT_KNOWN, Column, Grid, row
from ramferry.report.lines import Lines
from ramferry.units import memory

MARK: Final = {True: "yes", False: "no"}

_NEEDS: Final = (
    Column("", words=True, least=10),
    Column("low", least=8),
    Column("high", least=8),
    Column("memlock", least=8),
    Column("huge pages", least=11),
)
_DOCUMENTED: Final = (
    Column("", words=True, least=10),
    Column("channels"),
    Column("documented", least=11),
    Column("this plan"),
    Column("equal", words=True),
)


def print_memory(plan: MemoryPlan, lines: Lines) -> None:
    """Print what is needed, QEMU's documented figures beside this plan's, and the settings."""
    instances = f"{plan.instances} compression instance{'' if plan.instances == 1 else 's'}"
    vfs = f"{plan.vfs} VF{'' if plan.vfs == 1 else 's'}"
    channels = f"{plan.channels} channel{'' if plan.channels == 1 else 's'}"
    lines.write(
        f"DMA memory of one process: {channels}, {vfs} of a {plan.family} device with {instances},"
        f" hw_buff_sz {memory(plan.hw_buff_sz)}",
        style="bold",
    )
    _print_needs(plan, lines)
    for reason in plan.estimates:
        lines.labelled("  estimate", reason, indent=" " * 12, style="yellow")
    _print_documented(plan, lines)
    _print_settings(plan, lines)


def _print_needs(plan: MemoryPlan, lines: Lines) -> None:
    rows = tuple(
        row(
            need.role,
            *map(_mebibytes, (need.low_mib, need.high_mib, need.memlock_mib)),
            str(need.huge_pages),
        )
        for need in plan.needs
    )
    lines.blank()
    lines.table(Grid(_NEEDS, rows), indent="  ")
    lines.blank()
    lines.write(
        "low: the channels take turns on one instance; high: each uses its own, as far as there"
        " are instances, and 4 MiB to spare; huge pages of 2 MiB, where they are used at all",
        indent="  ",
        first="  ",
    )


def _mebibytes(size: int | None) -> str:
    return NOT_KNOWN if size is None else f"{size} MiB"


def _print_documented(plan: MemoryPlan, lines: Lines) -> None:
    rows = tuple(
        row(
            cell.role,
            str(cell.channels),
            _mebibytes(cell.documented_mib),
            _mebibytes(cell.computed_mib),
            MARK[cell.equal],
        )
        for cell in plan.documented
    )
    lines.blank()
    lines.write(
        "QEMU's documented figures for one PF, beside the low ones of this plan", style="bold"
    )
    lines.table(Grid(_DOCUMENTED, rows), indent="  ")
    if not all(cell.equal for cell in plan.documented):
        lines.write(
            "the documented figures hold for one VF with four instances and hw_buff_sz 64 KiB",
            indent="  ",
            first="  ",
        )


def _print_settings(plan: MemoryPlan, lines: Lines) -> None:
    lines.blank()
    lines.write("Settings, for the larger of the figures above", style="bold")
    for heading, settings in plan.settings:
        lines.write(heading, indent="  ", first="  ")
        for setting in settings:
            lines.write(f"      {setting}")


def print_method(advice: MethodAdvice, lines: Lines) -> None:
    """Print each rule that was asked, with its evidence, and the choice last."""
    for rule in advice.rules:
        label, style = ("  yes", "green") if rule.applies else ("  no", "dim")
        lines.labelled(label, rule.rule, indent=" " * 7, style=style)
        lines.write(rule.evidence, indent=" " * 9, first=" " * 7, style="dim")
    lines.blank()
    lines.write(f"{_plain(advice)}", style="bold")
    level = f" --level {advice.level}" if advice.level is not None else ""
    lines.command(f"ramferry migrate SOURCE DESTINATION --method {advice.method}{level}")


def _plain(advice: MethodAdvice) -> str:
    return "none: send the memory as it is" if advice.method == "none" else advice.sentence
