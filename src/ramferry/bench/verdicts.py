"""What the table of a comparison does not say: case over case, run by run, and the relays' cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from ramferry.metrics import MigrationResult, RelayResult
from ramferry.report.comparison import BUILT_IN, RELAY_PAIR, CaseRuns, Comparison
from ramferry.report.measures import FEWEST


@dataclass(frozen=True, slots=True)
class Quotient:
    """How one case compares with another in one figure: median and extremes over repetitions."""

    what: str
    middle: float
    low: float
    high: float
    count: int

    @property
    def significant(self) -> bool:
        """Whether enough repetitions agree, all of them, on which of the two is smaller."""
        return self.count >= FEWEST and (self.high < 1 or self.low > 1)

    def __str__(self) -> str:
        text = f"{self.what}: {self.middle:.2f} ({self.low:.2f} to {self.high:.2f})"
        return text if self.significant else f"{text}, not significant"


def quotient(
    what: str, over: CaseRuns, under: CaseRuns, figure: Callable[[MigrationResult], float | None]
) -> Quotient | None:
    """Divide run by run: neighbours in time share the machine's mood. None where nothing is known.

    Repetitions in which one of the two failed are left out.
    """
    parts = []
    for one, other in zip(over.runs, under.runs, strict=False):
        if one.result is not None and other.result is not None:
            above, below = figure(one.result), figure(other.result)
            if above is not None and below:
                parts.append(above / below)
    return Quotient(what, median(parts), min(parts), max(parts), len(parts)) if parts else None


def send_cpu_seconds(result: MigrationResult) -> float | None:
    """CPU that the sending side spent on one migration; None where it is not known."""
    percent = result.send_cpu_percent
    return None if percent is None else percent / 100 * result.total_ms / 1000


def relay_lines(results: Sequence[MigrationResult]) -> list[str]:
    """What the relays of one case cost by themselves: Python's share and memory, worst run."""
    lines = []
    for index, side in enumerate(("source", "destination")):
        seen: list[RelayResult] = [one.relays[index] for one in results if len(one.relays) > index]
        if seen:
            share = median(one.counters.python_share for one in seen)
            memory = max(one.max_pss_bytes for one in seen) / 2**20
            lines.append(
                f"{side} relay: {share:.0%} of its CPU outside codecs and kernel, "
                f"at most {memory:.0f} MiB (PSS)"
            )
    return lines


def verdicts(comparison: Comparison) -> list[str]:
    """How qatzip through relays compares with what QEMU has built in; what its relays cost."""
    ours = [c for c in comparison.cases if (c.method, c.route) == ("qatzip", RELAY_PAIR)]
    lines: list[str] = []
    for case in ours:
        for other in comparison.cases:
            if other.route == BUILT_IN:
                label = f"{case.label} over {other.label}"
                found = (
                    quotient(f"{label}, total time", case, other, lambda one: one.total_ms),
                    quotient(f"{label}, send CPU seconds", case, other, send_cpu_seconds),
                )
                lines += [str(one) for one in found if one is not None]
        lines += [f"{case.label}, {line}" for line in relay_lines(case.results)]
    return lines
