"""The campaign in a table: what was tried, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from campaign_judge import Outcome
from campaign_phases import PHASES
from campaign_topologies import TOPOLOGIES
from campaign_trial import FAULTS, Trial


def summary(trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> str:
    """Trials by topology, fault and phase; places, exit codes, violations with their trials."""
    again = sum(one.again for one in outcomes)
    parts = [
        grid("topology", trials, TOPOLOGIES, lambda trial: trial.topology),
        grid("fault", trials, FAULTS, lambda trial: trial.fault),
        _outcomes("topology", outcomes, lambda one: one.topology),
        _outcomes("fault", outcomes, lambda one: one.fault),
        _counts("exit codes", (f"{n} {c}" for one in outcomes for n, c in one.codes.items())),
        f"both guests ran at once for at most {max((o.overlap_ms for o in outcomes), default=0)} ms"
        f"; not struck: {[one.id for one in outcomes if not one.struck]}",
        f"relays that carried the next migration as well: in {again} trials",
        _kinds("known", outcomes, lambda one: [f"{kind}: {why}" for kind, why in one.known]),
        _kinds("violations", outcomes, lambda one: [kind for kind, _ in one.violations]),
    ]
    return "\n\n".join(parts)


def grid(
    head: str, trials: Sequence[Trial], rows: Iterable[str], row_of: Callable[[Trial], str]
) -> str:
    """Trials by some property, against the phases."""
    phases = ("start", "connect", *PHASES)
    counts = Counter((row_of(trial), trial.phase) for trial in trials)
    lines = [f"{head:<10}" + "".join(f"{phase:>11}" for phase in (*phases, "all"))]
    for row in rows:
        numbers = [counts[row, phase] for phase in phases]
        lines.append(f"{row:<10}" + "".join(f"{n or '':>11}" for n in (*numbers, sum(numbers))))
    return "\n".join(lines)


def _counts(head: str, values: Iterable[str]) -> str:
    found = Counter(values).most_common()
    return f"{head}: " + ", ".join(f"{value}: {count}" for value, count in sorted(found))


def _outcomes(head: str, outcomes: Sequence[Outcome], row_of: Callable[[Outcome], str]) -> str:
    """Where the guest was, by some property."""
    places = sorted({one.where for one in outcomes})
    counts = Counter((row_of(one), one.where) for one in outcomes)
    lines = [f"{head:<10}" + "".join(f"{place:>13}" for place in places)]
    for row in dict.fromkeys(row_of(one) for one in outcomes):
        lines.append(f"{row:<10}" + "".join(f"{counts[row, place] or '':>13}" for place in places))
    return "\n".join(lines)


def _kinds(
    what: str, outcomes: Sequence[Outcome], kinds_of: Callable[[Outcome], Iterable[str]]
) -> str:
    kinds: dict[str, list[str]] = {}
    for outcome in outcomes:
        for kind in dict.fromkeys(kinds_of(outcome)):
            kinds.setdefault(kind, []).append(outcome.id)
    lines = [f"{len(outcomes)} trials, {what}: {sum(map(len, kinds.values())) or 'none'}"]
    for kind, ids in sorted(kinds.items()):
        lines.append(f"  {kind} ({len(ids)}): {' '.join(ids)}")
    return "\n".join(lines)
