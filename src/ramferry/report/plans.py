"""What ``ramferry plan`` says, on a terminal."""

from __future__ import annotations

from ramferry.metrics.host import MemoryPlan, MethodAdvice
from ramferry.report.lines import Lines
from ramferry.units import memory

MARK = {True: "yes", False: "no"}


def print_memory(plan: MemoryPlan, lines: Lines) -> None:
    """Needs, the documented table beside the formula, settings."""
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
    lines.blank()
    lines.write(f"  {'':10}{'low':>10}{'high':>10}{'memlock':>10}{'huge pages':>13}", style="dim")
    for need in plan.needs:
        sizes = (need.low_mib, need.high_mib, need.memlock_mib)
        cells = "".join(f"{'n/a' if size is None else f'{size} MiB':>10}" for size in sizes)
        lines.write(f"  {need.role:10}{cells}{need.huge_pages:>13}")
    lines.blank()
    lines.write(
        "low: the channels take turns on one instance; high: each uses its own, as far as there"
        " are instances, and 4 MiB to spare; huge pages of 2 MiB, where they are used at all",
        indent="  ",
        first="  ",
    )


def _print_documented(plan: MemoryPlan, lines: Lines) -> None:
    lines.blank()
    lines.write(
        "QEMU's documented figures for one PF, beside the low ones of this plan", style="bold"
    )
    lines.write(f"  {'':10}{'channels':>10}{'documented':>13}{'this plan':>11}  equal", style="dim")
    for cell in plan.documented:
        documented, computed = f"{cell.documented_mib} MiB", f"{cell.computed_mib} MiB"
        lines.write(
            f"  {cell.role:10}{cell.channels:>10}{documented:>13}{computed:>11}  {MARK[cell.equal]}"
        )
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
    """Each rule that was asked, with its evidence; the choice last."""
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
