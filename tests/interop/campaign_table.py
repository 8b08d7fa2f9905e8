"""The campaign in a table: what was tried, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from campaign_judge import Outcome
from campaign_phases import PHASES
from campaign_trial import FAULTS, TOPOLOGIES, Trial

MANY = 5


def summary(trials: Sequence[Trial], outcomes: Sequence[Outcome]) -> str:
    """Trials by topology, fault and phase; places, exit codes, violations with their trials."""
    parts = [
        grid("topology", trials, TOPOLOGIES, lambda trial: trial.topology),
        grid("fault", trials, FAULTS, lambda trial: trial.fault),
        _counts("the guest", (one.where for one in outcomes)),
        _counts("exit codes", (f"{n} {c}" for one in outcomes for n, c in one.codes.items())),
        f"both guests ran at once for at most {max((o.overlap_ms for o in outcomes), default=0)} ms"
        f"; not struck: {[one.id for one in outcomes if not one.struck]}",
        _violations(outcomes),
    ]
    return "\n\n".join(parts)


def grid(
    head: str, trials: Sequence[Trial], rows: Iterable[str], row_of: Callable[[Trial], str]
) -> str:
    """Trials by some property, against the phases."""
    phases = ("start", *PHASES)
    counts = Counter((row_of(trial), trial.phase) for trial in trials)
    lines = [f"{head:<10}" + "".join(f"{phase:>11}" for phase in (*phases, "all"))]
    for row in rows:
        numbers = [counts[row, phase] for phase in phases]
        lines.append(f"{row:<10}" + "".join(f"{n or '':>11}" for n in (*numbers, sum(numbers))))
    return "\n".join(lines)


def _counts(head: str, values: Iterable[str]) -> str:
    found = Counter(values).most_common()
    return f"{head}: " + ", ".join(f"{value}: {count}" for value, count in sorted(found))


def _violations(outcomes: Sequence[Outcome]) -> str:
    kinds: dict[str, list[str]] = {}
    for outcome in outcomes:
        for kind in dict.fromkeys(kind for kind, _ in outcome.violations):
            kinds.setdefault(kind, []).append(outcome.id)
    if not kinds:
        return f"{len(outcomes)} trials, no violation"
    lines = [f"{len(outcomes)} trials, {sum(map(len, kinds.values()))} violations"]
    for kind, ids in sorted(kinds.items()):
        lines.append(f"  {kind} ({len(ids)}): {' '.join(ids)}")
    return "\n".join(lines)
