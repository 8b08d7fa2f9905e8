"""What ``ramferry bench run`` does; its options are in ``cli.bench_run``."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import psutil

from ramferry.bench import scenario as scenarios
from ramferry.bench.course import Reports
from ramferry.bench.fill import data_files
from ramferry.bench.qemu import QemuBinary, choose_qemu
from ramferry.bench.runner import SHAPED_BY, Bench, files_of
from ramferry.bench.scenario import LEAST_RATE, Scenario
from ramferry.bench.scenario_file import find_scenario, shipped
from ramferry.bench.verdicts import verdicts
from ramferry.cli.live import live_hooks
from ramferry.cli.results import done_all_the_same
from ramferry.cli.results_file import ResultFile
from ramferry.cli.terminal import Terminal, terminal
from ramferry.control.migrate.callbacks import Hooks
from ramferry.errors import Cancelled, HostError, UsageError
from ramferry.report.benchmark.chapters import report
from ramferry.report.benchmark.comparison import CaseRuns, Comparison, read
from ramferry.report.benchmark.differences import Named
from ramferry.report.formats.text import draw
from ramferry.report.progress import Progress


def run(
    scenario: tuple[str, ...],
    memory: int | None,
    channels: int | None,
    repeat: int | None,
    qemu: str | None,
    max_bandwidth: float | None,
    shape: str,
    json_file: str | None,
    resume: str | None,
) -> None:
    """Run it, with the values of its options."""
    before = _to_resume(scenario, resume, changed=any(v is not None for v in (memory, channels)))
    names = scenario or ((before.scenario.name,) if before else ("default",))
    chosen = [_changed(find_scenario(name), channels, repeat, max_bandwidth) for name in names]
    results = [ResultFile(json_file or resume, one.name, len(chosen)) for one in chosen]
    data = data_files(os.environ.get("RAMFERRY_DATA", ""))
    qemus = any(one.guest.kind == scenarios.QEMU for one in chosen)
    binary = choose_qemu(qemu) if qemus else None
    with terminal() as at:
        for one, result in zip(chosen, results, strict=True):
            bench = _bench(one, memory, before, binary, data, shape, at)
            _run(bench, result, at)


def _bench(
    scenario: Scenario,
    memory: int | None,
    before: Comparison | None,
    binary: QemuBinary | None,
    data: tuple[Path, ...],
    shape: str,
    at: Terminal,
) -> Bench:
    fitting, said = _fitting(scenario, memory, before)
    if said:
        at.say(said)
    return Bench(
        fitting,
        said,
        None if fitting.guest.memory == scenario.guest.memory else scenario.guest.memory,
        binary if fitting.guest.kind == scenarios.QEMU else None,
        files_of(fitting.guest.fill, data),
        _shape(shape, before),
        at.say,
        at.stop,
        before,
    )


def _fitting(
    scenario: Scenario, memory: int | None, before: Comparison | None
) -> tuple[Scenario, str]:
    """The scenario with a guest that this machine has room for, and a sentence if it is another.

    :param memory: what was asked for.
    :param before: the interrupted runs that are to go on, with the guest that they had.
    """
    said = ""
    if before is not None:
        scenario, _ = scenarios.with_memory(scenario, before.scenario.memory_bytes)
        said = before.scenario.scaling
    elif memory is not None:
        scenario, said = scenarios.with_memory(scenario, memory)
    scenario, scaled = scenarios.fitted(scenario, psutil.virtual_memory().available)
    return scenario, said or scaled


def _shape(wanted: str, before: Comparison | None) -> str:
    """What is to hold the link: what held it before, if runs go on."""
    held = before.scenario.link.how if before is not None else ""
    return held if held in SHAPED_BY.values() else SHAPED_BY[wanted]


def _run(bench: Bench, result: ResultFile, at: Terminal) -> None:
    comparison = _measured(bench, result, at)
    try:
        result.end(comparison)
    finally:
        _show(comparison, result)
    if not comparison.finished:
        kept = f"; `--resume {result.path}` goes on" if result.path else ""
        raise Cancelled(f"interrupted; the finished runs are kept{kept}")
    if not any(case.results for case in comparison.cases):
        name, reason = bench.scenario.name, _reason(comparison)
        raise HostError(f"scenario {name}: no run came through: {reason}")


def _measured(bench: Bench, result: ResultFile, at: Terminal) -> Comparison:
    """The runs, with their progress on the screen, and the file kept after each."""
    scenario = bench.scenario
    with Progress(at.screen, scenario.downtime_limit_ms) as progress:

        def begun(number: int, case: CaseRuns) -> Hooks:
            which = f"run {number} of {scenario.repeats}" if number else "warm-up"
            at.say(f"{which}: {case.label}")
            return live_hooks(progress, at, case.label, case.channels)

        def failed(case: CaseRuns, sentence: str) -> None:
            at.say(f"failed: {case.label}: {sentence}")

        def kept(comparison: Comparison) -> None:
            if trouble := result.keep(comparison):
                at.say(f"{trouble}; the runs go on")

        return bench.run(Reports(begun, failed, kept))


def _reason(comparison: Comparison) -> str:
    """The error of the first run that failed, or else why the first case was left out."""
    failed = [run.error for case in comparison.cases for run in case.runs if run.error]
    return next(iter(failed or [case.skipped for case in comparison.cases if case.skipped]))


def _show(comparison: Comparison, result: ResultFile) -> None:
    """Print the report as text: on standard error if the document went to standard output."""
    with done_all_the_same():
        stream = sys.stderr if result.to_stdout else sys.stdout
        if stream is None:
            return
        stream.write(draw(report([Named(result.name, comparison)])))
        stream.writelines(f"{line}\n" for line in verdicts(comparison))
        stream.flush()


def _to_resume(names: tuple[str, ...], resume: str | None, *, changed: bool) -> Comparison | None:
    if resume is None:
        return None
    if len(names) > 1:
        raise UsageError("--resume goes on with one scenario, not several")
    if changed:
        raise UsageError("--resume takes memory and channels from the file: leave the options out")
    before = read(Path(resume))
    if not names and before.scenario.name not in shipped():
        raise UsageError(f"--resume: name the scenario file of {before.scenario.name}, too")
    return before


def _changed(
    scenario: Scenario, channels: int | None, repeat: int | None, rate: float | None
) -> Scenario:
    """The scenario with what the options ask for."""
    if channels is not None:
        cases = dict.fromkeys(replace(case, channels=channels) for case in scenario.cases)
        scenario = replace(scenario, cases=tuple(cases))
    if repeat is not None:
        scenario = replace(scenario, repeats=repeat)
    if rate and rate < LEAST_RATE:
        raise UsageError(f"--max-bandwidth must be {LEAST_RATE:.0f} bytes a second or more, or 0")
    return scenario if rate is None else replace(scenario, rate=rate)
