"""``ramferry bench``: methods and routes side by side; its parts, and what stands for what."""

from __future__ import annotations

import click

from ramferry.bench.scenario import labels
from ramferry.bench.scenario_file import find_scenario, shipped
from ramferry.cli.bench_archives import archives
from ramferry.cli.bench_codec import codec
from ramferry.cli.bench_run import run
from ramferry.report.units import memory, rate


class _Bench(click.Group):
    """``ramferry bench SCENARIO`` stands for ``ramferry bench run SCENARIO``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Bench)
def command() -> None:
    """Compare methods and routes side by side on this machine.

    `ramferry bench SCENARIO` is short for `ramferry bench run SCENARIO`, and without a scenario
    it runs `default`. A SCENARIO is one that `ramferry bench list` names, or a TOML file.
    """


@command.command(name="list")
def list_command() -> None:
    """List the scenarios that come with Ramferry."""
    for name in shipped():
        found = find_scenario(name)
        guest, link = found.guest, f"over {rate(found.rate)}" if found.rate else "no link limit"
        click.echo(f"{name:10}  {found.title}")
        scaled = ", scaled to the machine's" if guest.scalable else ""
        click.echo(f"{'':10}  {memory(guest.memory)} of memory{scaled}; {guest.workload}; {link}")
        click.echo(f"{'':10}  {', '.join(labels(found.cases))}")


command.add_command(run)
command.add_command(codec)
command.add_command(archives)
