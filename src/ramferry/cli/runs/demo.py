"""What ``ramferry demo`` does; its options are in ``cli.demo``."""

from __future__ import annotations

import math
import os

import click

from ramferry.bench import demo
from ramferry.bench.fill import data_files
from ramferry.bench.machine import host_facts, machine_facts
from ramferry.bench.qemu import accelerator, find_qemus
from ramferry.bench.scenario import LEAST_MEMORY
from ramferry.cli.json_file import JsonFile
from ramferry.cli.live import live_hooks
from ramferry.cli.results import show
from ramferry.cli.terminal import terminal
from ramferry.codec import find_method
from ramferry.control.migrate.callbacks import Hooks
from ramferry.errors import Cancelled, UsageError
from ramferry.report.progress import Progress

DOWNTIME_LIMIT_MS = 300


def run(
    memory: int | None,
    max_bandwidth: float,
    methods: str,
    channels: int,
    built_in: bool,
    json_file: JsonFile | None,
) -> None:
    """Run it, with the values of its options."""
    names = tuple(find_method(name.strip()).name for name in methods.split(","))
    files = data_files(os.environ.get("RAMFERRY_DATA", ""))
    binaries = find_qemus()
    binary = None if built_in or not binaries else binaries[0]
    if not binaries and not built_in:
        click.echo(demo.how_to_get_qemu(), err=True)
    if memory is not None and memory < LEAST_MEMORY:
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
