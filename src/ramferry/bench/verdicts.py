"""What a comparison's table does not say: Ramferry's cases over QEMU's, and the relays' cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from ramferry.metrics import MigrationResult, RelayResult
from ramferry.report.benchmark.columns import TOTAL, doubt, quotient, spread
from ramferry.report.benchmark.comparison import BUILT_IN, NATIVE, CaseRuns, Comparison, Run
from ramferry.vocabulary import RELAY_PAIR

FIGURES: Final[tuple[tuple[str, Callable[[Run], float | None]], ...]] = (
    ("total time", lambda run: TOTAL.figure(run, 0)),
    ("send CPU seconds", lambda run: run.send_cpu_seconds),
)


def over(case: CaseRuns, other: CaseRuns) -> list[str]:
    """One case over another, with the range that their spreads allow; empty if one has no runs."""
    lines = []
    for what, figure in FIGURES:
        ours, theirs = (spread(figure(run) for run in one.runs) for one in (case, other))
        found = quotient(ours, theirs) if ours and theirs else None
        if ours and theirs and found:
            text = f"{found.middle:.2f} ({found.low:.2f} to {found.high:.2f})"
            said = ", ".join(filter(None, (text, doubt(ours, theirs))))
            lines.append(f"{case.label} over {other.label}, {what}: {said}")
    return lines


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


def digest_line(results: Sequence[MigrationResult]) -> list[str]:
    """What the digests cost of the CPU of both relays, in the median of the runs; empty if none
    were agreed on."""
    pairs = [
        [relay.counters for relay in one.relays]
        for one in results
        if len(one.relays) == 2 and _digested(one.relays[0])
    ]
    if not pairs:
        return []
    share = median(
        sum(one.digest_seconds for one in pair) / sum(one.cpu_seconds for one in pair)
        for pair in pairs
    )
    return [f"digests of every packet: {share:.1%} of the CPU of both relays"]


def _digested(source: RelayResult) -> bool:
    return source.agreed_out is not None and bool(source.agreed_out.digest)


def verdicts(comparison: Comparison) -> list[str]:
    """How qatzip through relays, and Ramferry's sender and receiver, compare with QEMU's built-in
    methods, TLS with none and a relay pair's with QEMU's, and what the relays cost."""
    ours = [c for c in comparison.cases if (c.method, c.route) == ("qatzip", RELAY_PAIR)]
    lines: list[str] = []
    for case in ours:
        for other in comparison.cases:
            if other.route == BUILT_IN:
                lines += over(case, other)
        lines += [f"{case.label}, {line}" for line in relay_lines(case.results)]
    for case in (one for one in comparison.cases if one.route == RELAY_PAIR):
        lines += [f"{case.label}, {line}" for line in digest_line(case.results)]
    for case in (one for one in comparison.cases if one.route == NATIVE):
        for other in comparison.cases:
            if (other.method, other.route) == (case.method, BUILT_IN):
                lines += over(case, other)
    for case in (one for one in comparison.cases if one.tls):
        for other in comparison.cases:
            if _differ_in_tls(case, other) or _differ_in_whose_tls(case, other):
                lines += over(case, other)
    return lines


def _differ_in_tls(case: CaseRuns, other: CaseRuns) -> bool:
    return (case.route, *_settings(case), False) == (other.route, *_settings(other), other.tls)


def _differ_in_whose_tls(case: CaseRuns, other: CaseRuns) -> bool:
    routes = (case.route, other.route, other.tls)
    return routes == (RELAY_PAIR, BUILT_IN, True) and _settings(case) == _settings(other)


def _settings(case: CaseRuns) -> tuple[object, ...]:
    return case.method, case.level, case.channels
