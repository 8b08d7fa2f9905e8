"""Which run of a case stands for all of them. Pure."""

from __future__ import annotations

from ramferry.report.benchmark.comparison import CaseRuns


def median_run(case: CaseRuns) -> int | None:
    """Index of the run whose total time is the middle one of those with a timeline."""
    timed = [
        (run.result.total_time_ms, index)
        for index, run in enumerate(case.runs)
        if run.result is not None and run.timeline
    ]
    return sorted(timed)[(len(timed) - 1) // 2][1] if timed else None
