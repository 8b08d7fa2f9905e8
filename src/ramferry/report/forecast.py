"""What ``ramferry plan time`` prints, on a terminal and as JSON."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from ramferry.metrics.forecast import MethodTime, Range, TimePlan
from ramferry.report import document as documents
from ramferry.report.grid import Cell, Column, Grid, row
from ramferry.report.lines import Lines
from ramferry.units import memory, rate
from ramferry.vocabulary import RELAY_PAIR

_COLUMNS: Final = (
    Column("method", "level", words=True),
    Column("total", "s"),
    Column("downtime", "ms"),
    Column("send", "CPU s"),
    Column("recv", "CPU s"),
    Column("wire", "bytes"),
    Column("ratio"),
    Column("speed", "in / out"),
    Column("limited by", words=True),
    Column("beats", "none below"),
)


def document(plan: TimePlan) -> dict[str, Any]:
    """The plan as a JSON document, by the names of ``metrics.forecast``; null: without end."""
    content = {"route": RELAY_PAIR, **asdict(plan)}
    for one in content["methods"]:
        total = one["total_seconds"]
        if total and not math.isfinite(total["high"]):
            total["high"] = None
    return documents.document("forecast", content)


def print_times(plan: TimePlan, lines: Lines) -> None:
    """Print what was sampled, a row for each method, and the choice."""
    lines.write(_headline(plan), style="bold")
    lines.write(_sample(plan), style="dim")
    lines.blank()
    lines.table(Grid(_COLUMNS, tuple(_row(one) for one in plan.methods)))
    lines.blank()
    for note in plan.notes:
        lines.labelled("note", note, indent=" " * 6, style="yellow")
    lines.write(plan.reason, style="bold")
    if plan.choice:
        lines.command(_command(plan))


def _headline(plan: TimePlan) -> str:
    link = f"a link of {rate(plan.link_rate)} ({plan.link_from})" if plan.link_rate else "any link"
    cores = f"{plan.cores:g} core{'' if plan.cores == 1 else 's'}"
    spent = f"{cores} for both sides" if plan.one_host else f"{cores} at each side"
    size = memory(plan.sample.total_bytes)
    dirty = f"a guest that dirties {rate(plan.dirty_rate)} ({plan.dirty_from}) of {size}"
    if not plan.dirty_rate:
        # samples of pages miss a guest that writes a few of them over and over
        idle = {"assumed": " (assumed: see --measure-dirty)", "measured": " (as measured)"}
        dirty = f"an idle guest of {size}{idle.get(plan.dirty_from, '')}"
    return f"{dirty}, by a relay pair over {link}: {plan.channels} channels, {spent}"


def _sample(plan: TimePlan) -> str:
    sample, zero = plan.sample, plan.sample.zero_share
    return (
        f"sample: {memory(sample.sampled_bytes)} in {sample.pieces} pieces;"
        f" {zero.expected:.0%} zero pages ({zero.low:.0%} to {zero.high:.0%});"
        " speeds of one core of this host"
    )


def _row(one: MethodTime) -> tuple[Cell, ...]:
    return row(
        one.method if one.level is None else f"{one.method} {one.level}",
        _range(one.total_seconds, _seconds) or "does not converge",
        _range(one.downtime_ms, lambda value: f"{value:.0f}") or "-",
        _seconds(one.send_cpu_seconds),
        _seconds(one.recv_cpu_seconds),
        memory(one.wire_bytes),
        f"{one.ratio:.2f}",
        "-" if not one.compress_rate else _speeds(one),
        one.limited_by,
        _break_even(one),
    )


def _speeds(one: MethodTime) -> str:
    back = one.decompress_rate or 0.0
    return f"{(one.compress_rate or 0.0) / 1e6:.0f} / {back / 1e6:.0f} MB/s"


def _seconds(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _range(of: Range | None, text: Callable[[float], str]) -> str:
    if of is not None and not math.isfinite(of.high):
        return f"over {text(of.low)}"
    return f"{text(of.low)} - {text(of.high)}" if of is not None else ""


def _break_even(one: MethodTime) -> str:
    if one.method == "none":
        return ""
    if one.break_even_rate is None:
        return "any link"
    return rate(one.break_even_rate) if one.break_even_rate else "no link"


def _command(plan: TimePlan) -> str:
    named = plan.sample.source.startswith(("qmp:", "libvirt:"))
    source = shlex.quote(plan.sample.source) if named else "SOURCE"
    return (
        f"ramferry migrate {source} DESTINATION --method {plan.choice} --relay both"
        f" --channels {plan.channels}"
    )
