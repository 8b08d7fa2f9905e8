"""``ramferry demo``: each method once, with a real guest."""

from __future__ import annotations

from typing import Any

import click

from ramferry.cli.json_option import json_option
from ramferry.cli.params import RATE, SIZE
from ramferry.vocabulary import MAX_CHANNELS

GIGABIT = 125_000_000
"""1 Gbit/s in bytes a second."""


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
def command(**options: Any) -> None:
    """Migrate a real guest with each method over the same capped link, and print the table.

    Boots two QEMUs on this machine and carries an idle guest from one to the other through a
    pair of relays. The guest's RAM is filled with the files that RAMFERRY_DATA names (paths
    separated by colons), or with generated text, binary records and zero pages. Where there is
    no QEMU, or with --built-in, Ramferry's own guest takes its place.
    """
    from ramferry.cli.runs import demo

    demo.run(**options)
