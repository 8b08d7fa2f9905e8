"""What ``ramferry bench list`` does; its options are in ``cli.bench_list``."""

from __future__ import annotations

import click

from ramferry.bench.scenario import labels
from ramferry.bench.scenario_file import find_scenario, shipped
from ramferry.units import memory, rate


def run() -> None:
    """Run it, with the values of its options."""
    for name in shipped():
        found = find_scenario(name)
        guest, link = found.guest, f"over {rate(found.rate)}" if found.rate else "no link limit"
        click.echo(f"{name:10}  {found.title}")
        scaled = ", scaled to the machine's" if guest.scalable else ""
        click.echo(f"{'':10}  {memory(guest.memory)} of memory{scaled}; {guest.workload}; {link}")
        click.echo(f"{'':10}  {', '.join(labels(found.cases))}")
