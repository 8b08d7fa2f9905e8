"""The order of a scenario's runs, and what is recorded of each. Pure except for what it calls.

A machine's speed drifts, so repetitions go A B C A B C, never A A B B, after one uncounted run of
the first case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ramferry.bench.scenario import Case
from ramferry.control.migrate.callbacks import Hooks
from ramferry.errors import Cancelled, RamferryError
from ramferry.forecast.eta import MigrationSample
from ramferry.forecast.other_load import OtherLoad
from ramferry.metrics import MigrationResult
from ramferry.report.benchmark.comparison import CaseRuns, Comparison, Run, TimelinePoint


@dataclass(frozen=True, slots=True)
class Reports:
    """Functions that a course calls."""

    begun: Callable[[int, CaseRuns], Hooks]
    """Called before each run with its repetition (0: the warm-up) and its case; returns hooks."""
    failed: Callable[[CaseRuns, str], None]
    """Called after a run that failed, with the sentence that says why."""
    kept: Callable[[Comparison], None]
    """Called after each run that counts, with everything measured so far."""


Carry = Callable[[Case, Hooks], MigrationResult]


def course(
    comparison: Comparison,
    cases: Sequence[Case],
    repeats: int,
    carry: Carry,
    reports: Reports,
    source: Callable[[Case], int | None] = lambda _case: None,
) -> Comparison:
    """Do the runs that ``comparison`` lacks and return it with their results.

    A run that fails is recorded as failed, and the others go on; cases to skip are skipped. If the
    ``stop`` of a run's hooks is set, the course ends there and ``finished`` is False.

    :param cases: in the order of ``comparison.cases``.
    :param source: returns the id of a case's source process, which is no unrelated load.
    """
    wanted = [
        (number, index)
        for number in range(1, repeats + 1)
        for index, case in enumerate(comparison.cases)
        if len(case.runs) < number and not case.skipped
    ]
    warm_up = [(0, wanted[0][1])] if wanted else []
    for number, index in warm_up + wanted:
        entry = comparison.cases[index]
        hooks = reports.begun(number, entry)
        try:
            case = cases[index]
            run = attempt(case, entry.label, carry, hooks, OtherLoad(source(case)))
        except Cancelled:
            return comparison
        if run.error:
            reports.failed(entry, run.error)
        if number:
            comparison = _with_run(comparison, index, run)
            reports.kept(comparison)
    return replace(comparison, finished=True)


def attempt(case: Case, label: str, carry: Carry, hooks: Hooks, load: OtherLoad) -> Run:
    """Do one run; if it fails, the result holds the sentence that says why.

    :raise Cancelled: ``hooks.stop`` was set. A run that took too long has failed.
    """
    timeline: list[TimelinePoint] = []

    def on_sample(sample: MigrationSample) -> None:
        timeline.append(_point(sample))
        hooks.on_sample(sample)

    try:
        if hooks.stop.is_set():
            raise Cancelled("stopped between two runs")
        result = carry(case, replace(hooks, on_sample=on_sample))
    except RamferryError as error:
        if hooks.stop.is_set():
            raise Cancelled("stopped") from error
        return Run(None, timeline=tuple(timeline), error=str(error))
    return Run(
        replace(result, name=label, route=case.route),
        _seconds(result.send_cpu_percent, result),
        _seconds(result.recv_cpu_percent, result),
        tuple(timeline),
        others_cores=round(load.cores(), 2),
    )


def _point(sample: MigrationSample) -> TimelinePoint:
    return TimelinePoint(
        seconds=round(sample.seconds, 3),
        dirty_sync_count=sample.dirty_sync_count,
        status=sample.status,
        wire_bytes=sample.wire_bytes,
        remaining_bytes=sample.remaining_bytes,
        carried_bytes=sample.carried_bytes,
    )


def _seconds(percent: float | None, result: MigrationResult) -> float | None:
    """CPU seconds, from CPU in % of the total time."""
    return None if percent is None else percent / 100 * result.total_time_ms / 1000


def _with_run(comparison: Comparison, index: int, run: Run) -> Comparison:
    case = comparison.cases[index]
    cases = list(comparison.cases)
    cases[index] = replace(case, runs=(*case.runs, run))
    return replace(comparison, cases=tuple(cases))
