"""``ramferry demo``: each method once, with a real guest."""

from __future__ import annotations

import math
import os

import click

from ramferry.bench import demo
from ramferry.bench.fill import data_files
from ramferry.bench.machine import host_facts, machine_facts
from ramferry.bench.qemu import accelerator, find_qemus
from ramferry.cli.json_file import JsonFile, json_option
from ramferry.cli.live import live_hooks
from ramferry.cli.params import RATE, SIZE
from ramferry.cli.results import show
from ramferry.cli.terminal import terminal
from ramferry.codec import find_method
from ramferry.control.migrate.callbacks import Hooks
from ramferry.errors import Cancelled, UsageError
from ramferry.report.progress import Progress
from ramferry.vocabulary import MAX_CHANNELS

GIGABIT = 125_000_000
"""1 Gbit/s in bytes a second."""

DOWNTIME_LIMIT_MS = 300


@click.command()
@click.option(
    "--memory",
    type=SIZE,
    metavar="SIZE",
    help="The guest's RAM, held twice: 512M, 2G.  [default: 1G with KVM, 512M without]",
)
@click.option(
    "--max-bandwidth",
    type=RATE,
    default=float(GIGABIT),
    metavar="RATE",
    help="Cap on the wire in bytes per second: 30M, 1Gbit; 0 for none.  [default: 1Gbit]",
)
@click.option(
    "--methods",
    default="none,zstd,qatzip",
    show_default=True,
    metavar="M,M,…",
    help="What to compare, in this order.",
)
@click.option(
    "--channels",
    type=click.IntRange(1, MAX_CHANNELS),
    default=8,
    show_default=True,
    help="multifd channels.",
)
@click.option("--built-in", is_flag=True, help="Ramferry's own guest, also where there is a QEMU.")
@json_option()
def command(
    memory: int | None,
    max_bandwidth: float,
    methods: str,
    channels: int,
    built_in: bool,
    json_file: JsonFile | None,
) -> None:
    """Migrate a real guest with each method over the same capped link, and print the table.

    Boots two QEMUs on this machine and carries an idle guest from one to the other through a
    pair of relays. The guest's RAM is filled with the files that RAMFERRY_DATA names (paths
    separated by colons), or with generated text, binary records and zero pages. Where there is
    no QEMU, or with --built-in, Ramferry's own guest takes its place.
    """
    names = tuple(find_method(name.strip()).name for name in methods.split(","))
    files = data_files(os.environ.get("RAMFERRY_DATA", ""))
    binaries = find_qemus()
    binary = None if built_in or not binaries else binaries[0]
    if not binaries and not built_in:
        click.echo(demo.how_to_get_qemu(), err=True)
    if memory is not None and memory < demo.LEAST_MEMORY:
        raise UsageError("--memory must be 64M or more")
    memory = memory or demo.DEFAULT_MEMORY[accelerator() if binary else "tcg"]
    _run(demo.Demo(binary, memory, names, channels, math.ceil(max_bandwidth), files), json_file)


def _run(what: demo.Demo, json_file: JsonFile | None) -> None:
    with terminal() as at, Progress(at.screen, DOWNTIME_LIMIT_MS) as progress:

        def hooks_of(method: str) -> Hooks:
            at.say(f"migrating with {method}")
            return live_hooks(progress, at, method, what.channels)

        at.say("starting a guest and filling its memory")
        try:
            results = demo.run(what, hooks_of)
        except Cancelled as error:
            raise Cancelled("interrupted; nothing is left behind") from error
    facts = machine_facts(what.binary, what.binary) if what.binary else host_facts()
    about = {"machine": facts, "memory": what.memory}
    show(results, json_file, about, demo.headline(what))
