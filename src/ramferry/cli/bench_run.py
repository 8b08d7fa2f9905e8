"""``ramferry bench run``: scenarios on this machine."""

from __future__ import annotations

from typing import Any

import click

from ramferry.bench.shapes import SHAPES
from ramferry.cli.json_option import json_option
from ramferry.cli.params import RATE, SIZE
from ramferry.vocabulary import MAX_CHANNELS


@click.command()
@click.argument("scenario", nargs=-1)
@click.option(
    "--memory",
    type=SIZE,
    metavar="SIZE",
    help="The guest's RAM, held twice: 512M, 2G.  [default: the scenario's]",
)
@click.option(
    "--channels",
    type=click.IntRange(1, MAX_CHANNELS),
    metavar="N",
    help="multifd channels of every case.  [default: the scenario's]",
)
@click.option(
    "--repeat",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Runs of each case, interleaved.  [default: the scenario's, 3 or more]",
)
@click.option(
    "--qemu",
    metavar="VERSION",
    help="Which QEMU, as 7.2 or 10.0.  [default: the oldest that is found]",
)
@click.option(
    "--max-bandwidth",
    type=RATE,
    metavar="RATE",
    help="The link's rate in bytes per second: 30M, 1Gbit; 0 for none.  [default: the scenario's]",
)
@click.option(
    "--shape",
    type=click.Choice(SHAPES),
    default="auto",
    show_default=True,
    help="What holds that rate: tc between network namespaces (root), or the relays' pacing;"
    " auto tries tc first.",
)
@json_option(
    "Write every run as JSON, after each; - for standard output at the end; a folder for several"
    " scenarios.",
    click.STRING,
)
@click.option(
    "--resume",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Go on with the interrupted runs of this JSON file, and write to it.",
)
def command(**options: Any) -> None:
    """Run SCENARIOs, by default `default`: their cases in turn, medians and spread in a table.

    A guest, filled with the files that RAMFERRY_DATA names (paths separated by colons) or with
    generated text, binary records and zero pages, is migrated by every case in turn. Every
    destination's RAM is compared with the source's. Ctrl-C keeps the runs that are finished.
    """
    from ramferry.cli.runs import bench_run

    bench_run.run(**options)
