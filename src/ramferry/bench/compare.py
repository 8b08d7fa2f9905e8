"""Methods and routes side by side in one run: interleaved, repeated, medians with their spread.

A machine's speed drifts, so repetitions go A B C A B C, never A A B B; and what differs by less
than its own spread is called so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from ramferry.control.plan import RelayMode, Wish
from ramferry.metrics import MigrationResult, RelayResult
from ramferry.report.comparison import Run

_NUMBERS: Final = (
    "total_ms",
    "downtime_ms",
    "mbps",
    "pages_per_second",
    "wire_bytes",
    "guest_bytes",
    "ratio",
    "iterations",
)
_WHOLE: Final = {"total_ms", "downtime_ms", "wire_bytes", "guest_bytes", "iterations"}


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the comparison."""

    method: str
    relay: RelayMode
    level: int | None = None

    @property
    def name(self) -> str:
        """Its label: the method, and who compresses."""
        return f"{self.method} ({'QEMU' if self.relay is RelayMode.NONE else 'relay pair'})"

    def wish(self, channels: int, max_bandwidth: int) -> Wish:
        """What to ask of the orchestrator."""
        return Wish(
            method=self.method,
            level=self.level,
            channels=channels,
            max_bandwidth=max_bandwidth,
            relay=self.relay,
        )


CASES: Final = (
    Case("none", RelayMode.NONE),
    Case("zlib", RelayMode.NONE),
    Case("zstd", RelayMode.NONE),
    Case("none", RelayMode.BOTH),
    Case("zlib", RelayMode.BOTH),
    Case("zstd", RelayMode.BOTH),
    Case("qatzip", RelayMode.BOTH),
)
"""What stock QEMUs have built in, and the same and qatzip through a pair of relays."""

Runs = Mapping[Case, list[Run]]


def compare(
    runs: Runs,
    repeats: int,
    run: Callable[[Case], Run],
    begun: Callable[[int, Case], None],
) -> None:
    """Run every case ``repeats`` times, interleaved, after one uncounted run of the first.

    :param runs: the cases; filled run by run, so that what ends this early keeps what was done.
    :param begun: told the repetition (0 is the warm-up) and the case before each run.
    """
    first = next(iter(runs))
    begun(0, first)
    run(first)
    for repetition in range(1, repeats + 1):
        for case, done in runs.items():
            begun(repetition, case)
            one = run(case)
            result = one.result and replace(one.result, name=case.name)
            done.append(replace(one, result=result))


def results(runs: Sequence[Run]) -> list[MigrationResult]:
    """Of the runs that did not fail."""
    return [run.result for run in runs if run.result is not None]


def medians(runs: Sequence[MigrationResult]) -> MigrationResult:
    """One row for several runs: the median of each column by itself."""
    values: dict[str, float | int | None] = {}
    for name in _NUMBERS:
        middle = median(getattr(one, name) for one in runs)
        values[name] = round(middle) if name in _WHOLE else middle
    for name in ("send_cpu_percent", "recv_cpu_percent"):
        known = [getattr(one, name) for one in runs if getattr(one, name) is not None]
        values[name] = median(known) if known else None
    return replace(runs[0], relays=(), **values)  # type: ignore[arg-type]


def send_cpu_seconds(result: MigrationResult) -> float:
    """CPU that the sending side spent on one migration."""
    return (result.send_cpu_percent or 0.0) / 100 * result.total_ms / 1000


@dataclass(frozen=True, slots=True)
class Quotient:
    """How one case compares with another in one figure: median and extremes over repetitions."""

    what: str
    middle: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Whether every repetition agrees on which of the two is smaller."""
        return self.high < 1 or self.low > 1

    def __str__(self) -> str:
        text = f"{self.what}: {self.middle:.2f} ({self.low:.2f} to {self.high:.2f})"
        return text if self.significant else f"{text}, not significant"


def quotient(
    what: str,
    over: Sequence[MigrationResult],
    under: Sequence[MigrationResult],
    figure: Callable[[MigrationResult], float],
) -> Quotient:
    """Divide run by run: neighbours in time share the machine's mood."""
    parts = [figure(a) / figure(b) for a, b in zip(over, under, strict=True)]
    return Quotient(what, median(parts), min(parts), max(parts))


def relay_lines(runs: Sequence[MigrationResult]) -> list[str]:
    """What the relays of one case cost by themselves: Python's share and memory, worst run."""
    lines = []
    for index, side in enumerate(("source", "destination")):
        seen: list[RelayResult] = [one.relays[index] for one in runs if len(one.relays) > index]
        if seen:
            share = median(one.counters.python_share for one in seen)
            memory = max(one.max_pss_bytes for one in seen) / 2**20
            lines.append(
                f"{side} relay: {share:.0%} of its CPU outside codecs and kernel, "
                f"at most {memory:.0f} MiB (PSS)"
            )
    return lines
