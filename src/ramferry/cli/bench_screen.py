"""A benchmark's runs on the terminal: what runs, what failed, and the file kept after each."""

from __future__ import annotations

from collections.abc import Callable

from ramferry.bench.course import Reports
from ramferry.bench.runner import Bench
from ramferry.cli.live import live_hooks
from ramferry.cli.results_file import ResultFile
from ramferry.cli.terminal import Terminal
from ramferry.control.migrate.callbacks import Hooks
from ramferry.errors import Cancelled
from ramferry.report.benchmark.comparison import CaseRuns, Comparison
from ramferry.report.progress import Progress


def measured(bench: Bench, keep: Callable[[Comparison], str], at: Terminal) -> Comparison:
    """The runs of one scenario, with their progress on the screen.

    :param keep: called after each run with all that was measured so far; returns why that could
        not be kept, or nothing.
    """
    scenario = bench.scenario
    with Progress(at.screen, scenario.downtime_limit_ms) as progress:

        def begun(number: int, case: CaseRuns) -> Hooks:
            which = f"run {number} of {scenario.repeats}" if number else "warm-up"
            at.say(f"{which}: {case.label}")
            return live_hooks(progress, at, case.label, case.channels)

        def failed(case: CaseRuns, sentence: str) -> None:
            at.say(f"failed: {case.label}: {sentence}")

        def kept(comparison: Comparison) -> None:
            if trouble := keep(comparison):
                at.say(f"{trouble}; the runs go on")

        return bench.run(Reports(begun, failed, kept))


def interrupted(result: ResultFile) -> Cancelled:
    """The error of a benchmark that was interrupted, with how to go on."""
    kept = f"; `--resume {result.path}` goes on" if result.path else ""
    return Cancelled(f"interrupted; the finished runs are kept{kept}")


def reason(comparison: Comparison) -> str:
    """The error of the first run that failed, or else why the first case was left out."""
    failed = [run.error for case in comparison.cases for run in case.runs if run.error]
    return next(iter(failed or [case.skipped for case in comparison.cases if case.skipped]))
