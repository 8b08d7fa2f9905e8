"""``ramferry bench``: methods and routes side by side."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import IO

import click
from rich.console import Console

from ramferry.bench.compare import (
    CASES,
    Case,
    Quotient,
    Runs,
    compare,
    medians,
    quotient,
    relay_lines,
    send_cpu_seconds,
)
from ramferry.bench.fill import data_files
from ramferry.bench.machine import machine_facts
from ramferry.bench.qemu import QemuBinary, find_qemus
from ramferry.bench.rig import Rig
from ramferry.cli.interrupt import stop_on_signals
from ramferry.cli.params import RATE
from ramferry.control.hooks import Hooks
from ramferry.control.plan import RelayMode
from ramferry.errors import Cancelled, HostError
from ramferry.metrics import MigrationResult
from ramferry.report.document import document, row, write_document
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
    help="Write medians and single runs as JSON.",
)
def command(
    memory: int,
    channels: int,
    repeat: int,
    qemu: str | None,
    max_bandwidth: float,
    json_file: IO[str] | None,
) -> None:
    """Compare QEMU's built-in methods with relay pairs, on this machine, in one run.

    An idle guest, filled with the files that RAMFERRY_DATA names (or with generated text,
    binary records and zero pages), is migrated over loopback by every method in turn. Every
    destination's RAM is compared with the source's.
    """
    binary = _choose(qemu)
    cases = [case for case in CASES if not max_bandwidth or case.relay is RelayMode.BOTH]
    screen = Console(stderr=True, highlight=False)
    stop = threading.Event()
    facts = machine_facts(binary, binary)
    with (
        stop_on_signals(stop),
        Rig(binary, binary, memory << 20, data_files(os.environ.get("RAMFERRY_DATA", ""))) as rig,
    ):

        def begun(repetition: int, case: Case) -> None:
            if stop.is_set():
                raise Cancelled("stopped between two runs")
            label = f"run {repetition} of {repeat}" if repetition else "warm-up"
            screen.print(f"{label}: {case.name}")

        try:
            runs = compare(
                cases,
                repeat,
                lambda case: rig.carry(case.wish(channels, int(max_bandwidth)), Hooks(stop=stop)),
                begun,
            )
        except Cancelled as error:
            raise Cancelled("interrupted; nothing is left behind") from error
    if json_file is not None:
        raw = [row(result) for one in runs.values() for result in one]
        about = {"machine": facts, "raw": raw}
        write_document(document([medians(one) for one in runs.values()], about), json_file)
    click.echo(
        f"{memory} MiB guest, QEMU {binary.name}, {channels} channels, medians of {repeat}, "
        f"{facts['cores']} cores ({facts['cpu']}), loopback; compression in software"
    )
    print_table([medians(one) for one in runs.values()], Console(highlight=False))
    for line in _verdicts(runs):
        click.echo(line)


def _choose(wanted: str | None) -> QemuBinary:
    found = find_qemus()
    for binary in found:
        if wanted in (None, binary.name):
            return binary
    names = ", ".join(binary.name for binary in found) or "none"
    raise HostError(f"no QEMU {wanted or ''} here (found: {names}): install qemu-system-x86")


def _verdicts(runs: Runs) -> list[str]:
    """How relay-pair qatzip compares with what QEMU has built in, and what its relays cost."""
    ours = runs[Case("qatzip", RelayMode.BOTH)]
    lines: list[str] = []
    for case, theirs in runs.items():
        if case.relay is RelayMode.NONE:
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
