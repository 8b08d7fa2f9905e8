"""What changed between two comparisons by more than the runs of each differ. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ramferry.report.benchmark.columns import MEASURES, Measure, Spread, doubt, spread_of
from ramferry.report.benchmark.comparison import CaseRuns, Comparison
from ramferry.report.benchmark.grids import facts
from ramferry.report.grid import NOT_KNOWN, Cell, Column, Grid


@dataclass(frozen=True, slots=True)
class Named:
    """A comparison and what to call it: its file's name."""

    name: str
    comparison: Comparison


def shared(before: Comparison, after: Comparison) -> list[tuple[CaseRuns, CaseRuns]]:
    """Pairs of the cases that both have, by label, in the order of the first."""
    others = {case.label: case for case in after.cases}
    return [(case, others[case.label]) for case in before.cases if case.label in others]


def differences(before: Named, after: Named) -> Grid:
    """A row for each case that both have: how each median changed, and what that proves."""
    rows = tuple(
        (Cell(one.label), *(_change(measure, one, other, before, after) for measure in MEASURES))
        for one, other in shared(before.comparison, after.comparison)
    )
    columns = (
        Column("method", words=True),
        *(Column(measure.name, "change") for measure in MEASURES),
    )
    return Grid(columns, rows, f"{before.name} → {after.name}", _notes(before, after))


def _change(measure: Measure, one: CaseRuns, other: CaseRuns, before: Named, after: Named) -> Cell:
    old = spread_of(one, measure, before.comparison.scenario.memory_bytes)
    new = spread_of(other, measure, after.comparison.scenario.memory_bytes)
    if old is None or new is None:
        return Cell(NOT_KNOWN, faint=True)
    return _verdict(measure, old, new)


def _verdict(measure: Measure, old: Spread, new: Spread) -> Cell:
    if old.middle:
        text = f"{(new.middle / old.middle - 1) * 100:+.1f} %"
    else:
        text = f"{measure.text(old.middle)} → {measure.text(new.middle)}"
    why = doubt(old, new)
    return Cell(text, why or f"{measure.text(old.middle)} → {measure.text(new.middle)}", bool(why))


def _notes(before: Named, after: Named) -> tuple[str, ...]:
    return (
        "The change of each median; a difference smaller than the spread of the runs is not"
        " significant.",
        *_missing(before, after),
        *_missing(after, before),
        *_apart(before.comparison, after.comparison),
    )


def _missing(one: Named, other: Named) -> list[str]:
    theirs = {case.label for case in other.comparison.cases}
    absent = [case.label for case in one.comparison.cases if case.label not in theirs]
    return [f"Only in {one.name}: {', '.join(absent)}."] if absent else []


def _apart(before: Comparison, after: Comparison) -> list[str]:
    """Facts of scenario and machine that differ, and so may explain the changes."""
    said = []
    for one, other in zip(facts(before), facts(after), strict=True):
        old, new = _by_name(one), _by_name(other)
        for name in dict.fromkeys([*old, *new]):
            first, second = old.get(name, NOT_KNOWN), new.get(name, NOT_KNOWN)
            if first != second and name != "started":
                said.append(f"Differs: {name}: {first} → {second}.")
    return said


def _by_name(grid: Grid) -> dict[str, str]:
    return {row[0].text: row[1].text for row in grid.rows}


def pairs(measured: Sequence[Named]) -> list[tuple[Named, Named]]:
    """The first comparison paired with each of the others."""
    return [(measured[0], other) for other in measured[1:]]
