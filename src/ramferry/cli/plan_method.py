"""``ramferry plan method``: which method to take, and by which rule."""

from __future__ import annotations

from typing import Any

import click

from ramferry.cli.json_option import json_option
from ramferry.cli.params import RATE


@click.command()
@click.option("--qat", type=click.IntRange(0), help="QAT devices. Default: what is ready here.")
@click.option("--iaa", type=click.IntRange(0), help="IAA devices. Default: what is ready here.")
@click.option(
    "--svm/--no-svm", default=None, help="Shared virtual memory for IAA. Default: as found here."
)
@click.option(
    "--bandwidth",
    type=RATE,
    metavar="RATE",
    help="What the migration's link carries in bytes a second (125M, 10Gbit). Default: the fastest"
    " interface that is up here.",
)
@click.option(
    "--cpus",
    type=click.IntRange(1),
    help="CPUs that compression in software may use. Default: all of this host.",
)
@click.option(
    "--sysroot",
    default="/",
    metavar="DIR",
    help="Discover below DIR, as from a copy of another host. Default: /.",
)
@json_option()
def command(**options: Any) -> None:
    """QATzip, QPL, or software: which method to take here, and by which rule."""
    from ramferry.cli.runs import plan_method

    plan_method.run(**options)
