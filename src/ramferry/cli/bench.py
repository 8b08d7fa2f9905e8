"""``ramferry bench``: methods and routes side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import click
from rich.console import Console

from ramferry.bench.archives import ArchiveRig, Course, Way, folder_for, table, ways
from ramferry.bench.compare import (
    CASES,
    Case,
    Quotient,
    Runs,
    compare,
    medians,
    quotient,
    relay_lines,
    results,
    send_cpu_seconds,
)
from ramferry.bench.fill import data_files
from ramferry.bench.machine import machine_facts
from ramferry.bench.qemu import QemuBinary, find_qemus
from ramferry.bench.record import recorded
from ramferry.bench.rig import Rig
from ramferry.cli.interrupt import stop_on_signals
from ramferry.cli.params import RATE
from ramferry.control.plan import RelayMode
from ramferry.errors import Cancelled, HostError, UsageError
from ramferry.metrics import MigrationResult
from ramferry.report.comparison import (
    BUILT_IN,
    RELAY_PACING,
    RELAY_PAIR,
    UNSHAPED,
    CaseRuns,
    Comparison,
    Link,
    Run,
    Scenario,
    document,
)
from ramferry.report.document import write_document
from ramferry.report.table import print_table


@click.command()
@click.option(
    "--memory",
    type=click.IntRange(64, 3072),
    default=2048,
    show_default=True,
    metavar="MIB",
    help="The guest's RAM in MiB; it is held twice.",
)
@click.option(
    "--channels",
    type=click.IntRange(1, 255),
    default=8,
    show_default=True,
    help="multifd channels.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Runs of each case, interleaved; the table shows their medians.",
)
@click.option(
    "--qemu",
    metavar="VERSION",
    help="Which QEMU, as 7.2 or 10.0.  [default: the oldest that is found]",
)
@click.option(
    "--max-bandwidth",
    type=RATE,
    default=0.0,
    metavar="RATE",
    help="Cap on the wire in bytes per second; then relays carry every case.  [default: none]",
)
@click.option(
    "--json",
    "json_file",
    type=click.File("w", lazy=False),
    metavar="FILE",
    help="Write every run as JSON, for `ramferry report`.",
)
@click.option(
    "--archives",
    is_flag=True,
    help="Compare `ramferry save` and `restore` with QEMU's exec:zstd and file: instead.",
)
def command(
    memory: int,
    channels: int,
    repeat: int,
    qemu: str | None,
    max_bandwidth: float,
    json_file: IO[str] | None,
    archives: bool,
) -> None:
    """Compare QEMU's built-in methods with relay pairs, on this machine, in one run.

    An idle guest, filled with the files that RAMFERRY_DATA names (or with generated text,
    binary records and zero pages), is migrated over loopback by every method in turn. Every
    destination's RAM is compared with the source's.
    """
    binary = _choose(qemu)
    if archives:
        if json_file is not None or max_bandwidth:
            raise UsageError("--archives goes without --json and --max-bandwidth")
        _compare_archives(binary, memory << 20, channels, repeat)
        return
    runs: Runs = {case: [] for case in CASES if not max_bandwidth or case.relay is RelayMode.BOTH}
    screen = Console(stderr=True, highlight=False)
    stop = threading.Event()
    files = data_files(os.environ.get("RAMFERRY_DATA", ""))
    facts = machine_facts(binary, binary)
    started = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
    interrupted = False
    with stop_on_signals(stop), Rig(binary, binary, memory << 20, files) as rig:

        def begun(repetition: int, case: Case) -> None:
            if stop.is_set():
                raise Cancelled("stopped between two runs")
            label = f"run {repetition} of {repeat}" if repetition else "warm-up"
            screen.print(f"{label}: {case.name}")

        def carry(case: Case) -> Run:
            run = recorded(rig, case.wish(channels, int(max_bandwidth)), stop)
            if run.error:
                screen.print(f"failed: {run.error}", markup=False)
            return run

        try:
            compare(runs, repeat, carry, begun)
        except Cancelled:
            interrupted = True
    scenario = _scenario(binary, memory << 20, max_bandwidth, files)
    measured = tuple(_measured(case, channels, done) for case, done in runs.items() if done)
    if json_file is not None:
        comparison = Comparison(scenario, facts, measured, started, not interrupted)
        write_document(document(comparison), json_file)
    _print(runs, f"{memory} MiB guest, QEMU {binary.name}, {channels} channels", repeat, facts)
    if interrupted:
        raise Cancelled("interrupted; the runs that had ended are kept")


def _compare_archives(binary: QemuBinary, memory: int, channels: int, repeat: int) -> None:
    """Every way once, then again: the machine's mood changes."""
    screen = Console(stderr=True, highlight=False)
    stop = threading.Event()
    files = data_files(os.environ.get("RAMFERRY_DATA", ""))
    courses: dict[Way, list[Course]] = {way: [] for way in ways(binary)}
    rig = ArchiveRig(binary, memory, folder_for(memory), files)
    with stop_on_signals(stop), rig:
        for repetition in range(repeat + 1):
            for way, done in courses.items():
                screen.print(
                    f"{f'run {repetition} of {repeat}' if repetition else 'warm-up'}: {way.name}"
                )
                course = rig.course(way, channels, stop)
                if repetition:
                    done.append(course)
    click.echo(
        f"{memory >> 20} MiB guest, stopped, QEMU {binary.name}, {channels} channels, medians of"
        f" {repeat} (least-greatest), files in {folder_for(memory)}; ours are checked and synced"
    )
    click.echo(table(courses), nl=False)


def _scenario(binary: QemuBinary, memory: int, rate: float, files: tuple[Path, ...]) -> Scenario:
    return Scenario(
        name="default",
        title="Methods and routes side by side",
        description="An idle guest is migrated over loopback by every method in turn.",
        guest=f"QEMU {binary.name}",
        memory_bytes=memory,
        fill="the files of RAMFERRY_DATA" if files else "generated text, records and zero pages",
        workload="idle",
        link=Link(rate, RELAY_PACING if rate else UNSHAPED),
    )


def _measured(case: Case, channels: int, done: Sequence[Run]) -> CaseRuns:
    route = BUILT_IN if case.relay is RelayMode.NONE else RELAY_PAIR
    return CaseRuns(case.name, case.method, case.level, channels, route, tuple(done))


def _print(runs: Runs, what: str, repeat: int, facts: Mapping[str, object]) -> None:
    good = {case: found for case, done in runs.items() if (found := results(done))}
    if not good:
        return
    click.echo(
        f"{what}, medians of {repeat}, {facts['cores']} cores ({facts['cpu']}), loopback;"
        " compression in software"
    )
    print_table([medians(one) for one in good.values()], Console(highlight=False))
    for line in _verdicts(good):
        click.echo(line)


def _choose(wanted: str | None) -> QemuBinary:
    found = find_qemus()
    for binary in found:
        if wanted in (None, binary.name):
            return binary
    names = ", ".join(binary.name for binary in found) or "none"
    raise HostError(f"no QEMU {wanted or ''} here (found: {names}): install qemu-system-x86")


def _verdicts(runs: Mapping[Case, Sequence[MigrationResult]]) -> list[str]:
    """How relay-pair qatzip compares with what QEMU has built in, and what its relays cost."""
    ours = runs.get(Case("qatzip", RelayMode.BOTH), ())
    lines: list[str] = []
    for case, theirs in runs.items():
        # run by run: only where none of them failed
        if case.relay is RelayMode.NONE and len(theirs) == len(ours):
            lines += map(str, _against(case, ours, theirs))
    return [*lines, *relay_lines(ours)]


def _against(
    case: Case, ours: Sequence[MigrationResult], theirs: Sequence[MigrationResult]
) -> list[Quotient]:
    label = f"qatzip (relay pair) over {case.name}"
    return [
        quotient(f"{label}, total time", ours, theirs, lambda one: one.total_ms),
        quotient(f"{label}, send CPU seconds", ours, theirs, send_cpu_seconds),
    ]
