"""What ``ramferry bench run`` does; its options are in ``cli.bench_run``."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import psutil

from ramferry.bench import scenario as scenarios
from ramferry.bench.fill import data_files
from ramferry.bench.qemu import QemuBinary, choose_qemu
from ramferry.bench.runner import SHAPED_BY, Bench, files_of
from ramferry.bench.scenario import LEAST_RATE, Scenario
from ramferry.bench.scenario_file import find_scenario, shipped
from ramferry.bench.verdicts import verdicts
from ramferry.cli.bench_screen import interrupted, measured, reason
from ramferry.cli.results import done_all_the_same
from ramferry.cli.results_file import ResultFile
from ramferry.cli.terminal import Terminal, terminal
from ramferry.errors import HostError, UsageError
from ramferry.report.benchmark.chapters import report
from ramferry.report.benchmark.comparison import Comparison, read
from ramferry.report.benchmark.differences import Named
from ramferry.report.formats.text import draw


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
    comparison = measured(bench, result.keep, at)
    try:
        result.end(comparison)
    finally:
        _show(comparison, result)
    if not comparison.finished:
        raise interrupted(result)
    if not any(case.results for case in comparison.cases):
        why = reason(comparison)
        raise HostError(f"scenario {bench.scenario.name}: no run came through: {why}")


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
