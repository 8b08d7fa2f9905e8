"""``ramferry bench``: methods and routes side by side; its subcommands, and the short form of
one."""

from __future__ import annotations

from typing import Final

import click

from ramferry.cli.lazy import LazyGroup

PARTS: Final = {
    "run": "run scenarios: their cases in turn, medians and spread in a table",
    "links": "`--method auto` beside fixed choices and QEMU's own, over links of many rates",
    "list": "the scenarios that come with Ramferry",
    "codec": "each method and level alone, on one core and on all of them",
    "ceiling": "one relay process between plain writers and readers: what a packet costs",
    "archives": "`ramferry save` and `restore` against QEMU's exec:zstd and file:",
}


class _Bench(LazyGroup):
    """``ramferry bench SCENARIO`` stands for ``ramferry bench run SCENARIO``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {*self.parts, *ctx.help_option_names}
        # a shell that asks what may come here is to see the parts
        if args[0] not in own if args else not ctx.resilient_parsing:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Bench, modules="ramferry.cli.bench_", parts=PARTS)
def command() -> None:
    """Compare methods and routes side by side on this machine.

    `ramferry bench SCENARIO` is short for `ramferry bench run SCENARIO`, and without a scenario
    it runs `default`. A SCENARIO is one that `ramferry bench list` names, or a TOML file.
    """
