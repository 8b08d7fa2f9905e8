"""``ramferry bench ceiling``: what one relay process can carry at most, and what a packet costs."""

from __future__ import annotations

from typing import Any

import click

from ramferry.cli.json_option import json_option
from ramferry.cli.params import Seconds


@click.command()
@click.option(
    "--channels",
    default="1,2,4,8,16",
    show_default=True,
    metavar="N,N,…",
    help="Numbers of multifd channels.",
)
@click.option(
    "--methods",
    default="none:none,none:qatzip,qatzip:none",
    show_default=True,
    metavar="IN:OUT,…",
    help="Incoming and outgoing method of the relay.",
)
@click.option(
    "--codec-us",
    type=click.FloatRange(0, 100_000),
    default=0,
    show_default=True,
    metavar="N",
    help="Microseconds of CPU, without the GIL, that the codec takes for each packet.",
)
@click.option(
    "--own-codecs",
    is_flag=True,
    help="Have the methods' own codecs work in software, on the same data again and again.",
)
@click.option(
    "--seconds",
    type=Seconds(0.05, 600),
    default=0.5,
    show_default=True,
    help="How long each run is measured.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Runs of each row, interleaved; medians are shown.",
)
@click.option(
    "--pin",
    type=click.IntRange(1),
    metavar="N",
    help="Keep the relay on N cores, and its peers on the others if any are left.",
)
@click.option(
    "--tls",
    is_flag=True,
    help="Measure the relay's side towards the link by TCP, without TLS and with it.",
)
@json_option()
def command(**options: Any) -> None:
    """Measure one relay process between plain writers and readers.

    These stand for the two QEMUs: for each channel a process that only writes and one that only
    reads, over UNIX sockets. Codecs cost nothing, or the time of --codec-us, so that the table
    shows what the relay itself costs; with --own-codecs they do their work. With --tls
    one of the relay's sides is a TCP connection over the loopback, in clear and inside
    TLS in turn: that of the compressed pages, or each where the method stays the same.
    docs/performance.md says how to read the table.
    """
    from ramferry.cli.runs import bench_ceiling

    bench_ceiling.run(**options)
