"""``ramferry bench links``: ``auto`` beside fixed choices and QEMU's own, from link to link."""

from __future__ import annotations

from typing import Any

import click

from ramferry.bench.shapes import CHANGES, SHAPES
from ramferry.cli.json_option import json_option
from ramferry.cli.params import RATE, SIZE
from ramferry.vocabulary import MAX_CHANNELS


@click.command()
@click.option(
    "--rates",
    metavar="RATE,RATE,…",
    help="The links' rates: 100Mbit,2.5Gbit.  [default: 0.1, 0.25, 0.5, 1, 2.5, 5 and 10 Gbit/s;"
    " 1Gbit with --change]",
)
@click.option(
    "--fixed",
    metavar="METHOD:LEVEL,…",
    help="Choices of the relay pair to compare beside none and auto: zstd:3,qatzip:1, or all."
    "  [default: levels around the fastest at each rate]",
)
@click.option(
    "--built-in",
    metavar="METHOD:LEVEL,…",
    help="The same of QEMU's own methods; '' for no such run.  [default: none, and zstd at the same"
    " levels]",
)
@click.option(
    "--memory",
    type=SIZE,
    metavar="SIZE",
    help="The guest's RAM, held twice: 512M, 2G.  [default: by the rate, for runs of up to 20 s]",
)
@click.option(
    "--channels",
    type=click.IntRange(1, MAX_CHANNELS),
    default=8,
    show_default=True,
    metavar="N",
    help="multifd channels.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1, 100),
    default=3,
    show_default=True,
    metavar="N",
    help="Runs of each contender, interleaved.",
)
@click.option(
    "--qemu",
    metavar="VERSION",
    help="Which QEMU, as 7.2 or 10.0.  [default: the newest that is found]",
)
@click.option(
    "--change",
    type=click.Choice(CHANGES),
    help="What changes in mid-migration: the link's rate, for a while; the guest's content, text"
    " in the first half and random bytes in the second; other load, on half of the cores.",
)
@click.option(
    "--change-at",
    metavar="S[,S]",
    help="Seconds after which link or load changes and, if there are two, is as before again."
    "  [default: so that a third of the guest moves before it, and a third in it]",
)
@click.option(
    "--change-rate",
    type=RATE,
    metavar="RATE",
    help="The link's rate meanwhile.  [default: a fifth]",
)
@click.option(
    "--random",
    "random_share",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Share of the guest, at its end, that random bytes fill.  [default: 0; 0.5 with"
    " --change content]",
)
@click.option(
    "--shape",
    type=click.Choice(SHAPES),
    default="auto",
    show_default=True,
    help="What holds the rates: tc between network namespaces (root), or the relays' pacing;"
    " auto tries tc first.",
)
@json_option("Write every run as JSON, after each; - for standard output at the end.", click.STRING)
@click.option(
    "--resume",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Go on with the interrupted runs of this JSON file, and write to it; the other options as"
    " before.",
)
def command(**options: Any) -> None:
    """Compare --method auto with fixed choices and with QEMU's own methods, from link to link.

    At each rate a guest, filled with the files that RAMFERRY_DATA names (paths separated by
    colons) or with generated data, is migrated by every contender in turn. The table has
    the time of auto over that of the best fixed choice, of QEMU's best and of none; `ramferry
    report` draws the time over the rate. Ctrl-C keeps the runs that are finished.
    """
    from ramferry.cli.runs import bench_links

    bench_links.run(**options)
