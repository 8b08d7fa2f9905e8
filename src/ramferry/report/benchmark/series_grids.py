"""The tables of links of several rates: ``auto`` over the best of the others, and what it chose.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ramferry.metrics.choosing import ChoiceEntry, Choosing
from ramferry.report.benchmark.columns import TOTAL, Spread, spread_of
from ramferry.report.benchmark.comparison import CaseRuns, Comparison, Run
from ramferry.report.benchmark.grids import figure, ratio_cell
from ramferry.report.benchmark.runs import median_run
from ramferry.report.benchmark.series import (
    LinkSeries,
    is_auto,
    is_built_in,
    is_fixed,
    is_none,
)
from ramferry.report.grid import NOT_KNOWN, Cell, Column, Grid
from ramferry.units import bit_rate, memory, rate

_OTHERS: Final[tuple[tuple[str, Callable[[CaseRuns], bool]], ...]] = (
    ("best fixed choice", is_fixed),
    ("QEMU's best", is_built_in),
    ("none", is_none),
)
"""With whom ``auto`` is compared: the column's title, and which cases are meant."""
MOST_ENTRIES: Final = 12
"""Choices of one run that the table shows: the first of them, and the last one."""


def name_of(comparison: Comparison) -> str:
    """A link in a table: "250 Mbit/s"."""
    return bit_rate(comparison.scenario.link.rate)


def time_of(comparison: Comparison, case: CaseRuns) -> Spread | None:
    """Total time of a case in milliseconds; None if no run came through."""
    return spread_of(case, TOTAL, comparison.scenario.memory_bytes)


def best(comparison: Comparison, among: Callable[[CaseRuns], bool]) -> CaseRuns | None:
    """The case with the least median total time; None if none of them came through."""
    timed = [
        (found.middle, index)
        for index, case in enumerate(comparison.cases)
        if among(case) and (found := time_of(comparison, case))
    ]
    return comparison.cases[min(timed)[1]] if timed else None


def over_others(series: LinkSeries) -> Grid:
    """A row for each rate: the total time of ``auto`` over that of each of the others."""
    columns = [Column("link", words=True), Column("guest"), Column("auto", "ms")]
    for title, _ in _OTHERS:
        columns += [Column(title, "ms"), Column("auto", f"over {title}")]
    rows = tuple(_over_row(one) for one in series.comparisons)
    notes = (
        "Total times: medians, below them the least and the greatest of all runs, or whose they"
        " are; ratios of medians, below them what the spreads allow.",
        "The best is the one with the least median, so that chance is on its side: the more"
        " contenders there are, the more so.",
    )
    return Grid(tuple(columns), rows, "auto over the others", notes)


def _over_row(comparison: Comparison) -> tuple[Cell, ...]:
    ours = best(comparison, is_auto)
    auto = time_of(comparison, ours) if ours else None
    cells = [
        Cell(name_of(comparison)),
        Cell(memory(comparison.scenario.memory_bytes)),
        figure(TOTAL, auto),
    ]
    for _, among in _OTHERS:
        other = best(comparison, among)
        theirs = time_of(comparison, other) if other else None
        if other is None or theirs is None:
            cells.append(Cell(NOT_KNOWN, faint=True))
        else:
            cells.append(Cell(TOTAL.text(theirs.middle), other.label))
        cells.append(ratio_cell(auto, theirs))
    return tuple(cells)


def chosen(series: LinkSeries) -> Grid | None:
    """What ``auto`` chose and when, in the median run at each rate; None if nobody wrote that
    down."""
    rows: list[tuple[Cell, ...]] = []
    notes: list[str] = []
    for comparison in series.comparisons:
        found = _median_choosing(comparison)
        if found is None:
            continue
        run, choosing = found
        rows += _choice_rows(name_of(comparison), choosing)
        notes.append(_summary(name_of(comparison), run, choosing))
    if not rows:
        return None
    columns = (
        Column("link", words=True),
        Column("from", "s"),
        Column("chosen", words=True),
        Column("expected", "pages"),
        Column("limited by", words=True),
        Column("runner-up", words=True),
        Column("expected", "pages"),
        Column("link", "as measured"),
        Column("cores", "near, far"),
    )
    return Grid(columns, tuple(rows), "What auto chose", ("The median run of each rate.", *notes))


def _median_choosing(comparison: Comparison) -> tuple[Run, Choosing] | None:
    case = next((one for one in comparison.cases if is_auto(one)), None)
    index = median_run(case) if case else None
    if case is None or index is None:
        return None
    run = case.runs[index]
    relays = run.result.relays if run.result else ()
    told = next((one.choosing for one in relays if one.choosing), None)
    return None if told is None else (run, told)


def _choice_rows(link: str, choosing: Choosing) -> Iterator[tuple[Cell, ...]]:
    entries = choosing.timeline
    if len(entries) > MOST_ENTRIES:
        entries = (*entries[: MOST_ENTRIES - 1], entries[-1])
    for entry in entries:
        yield (
            Cell(link),
            Cell(f"{entry.seconds:.1f}"),
            Cell(_methods(entry.methods)),
            Cell(rate(entry.rate)),
            Cell(entry.limited_by),
            Cell(_methods(entry.runner_up)),
            Cell(rate(entry.runner_up_rate)),
            Cell(_link(entry)),
            Cell(f"{entry.near_cores:.1f}, {entry.far_cores:.1f}"),
        )


def _methods(by_class: dict[str, str]) -> str:
    """ "zstd 3", or "zstd 3; incompressible: none" where classes of pages have their own."""
    names = list(by_class.values())
    if not names:
        return NOT_KNOWN
    usual = max(dict.fromkeys(names), key=names.count)
    others = [f"{kind}: {name}" for kind, name in by_class.items() if name != usual]
    return "; ".join([usual, *others])


def _link(entry: ChoiceEntry) -> str:
    return f"{'' if entry.link_known else '≥ '}{rate(entry.link)}"


def _summary(link: str, run: Run, choosing: Choosing) -> str:
    shares = ", ".join(f"{name} {share:.0%}" for name, share in choosing.shares.items())
    changes = f"{choosing.changes} change{'' if choosing.changes == 1 else 's'}"
    own = choosing.trial_seconds + choosing.policy_seconds
    pair = (run.send_cpu_seconds or 0.0) + (run.recv_cpu_seconds or 0.0)
    cost = f", the choice itself {own / pair:.1%} of both sides' CPU" if pair else ""
    return f"{link}: {shares or 'nothing'} of the bytes of pages; {changes}{cost}."
