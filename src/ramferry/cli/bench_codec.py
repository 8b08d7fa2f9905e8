"""``ramferry bench codec``: the methods' speed and ratio, without a guest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ramferry.cli.json_option import json_option
from ramferry.cli.params import SIZE, member_size_option


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--methods",
    default="none,zlib,zstd,qatzip",
    show_default=True,
    metavar="M,M,…",
    help="What to measure, in this order.",
)
@click.option(
    "--levels", metavar="N,N,…", help="Levels of each method.  [default: a few of each method's]"
)
@click.option(
    "--size",
    type=SIZE,
    default=64 << 20,
    metavar="SIZE",
    help="Bytes of memory to work on: 64M, 1G.  [default: 64M]",
)
@member_size_option("auto is one a packet, as between relays without a device.")
@json_option()
def command(**options: Any) -> None:
    """Measure each method and level on FILES, on one core and on all of them.

    Without FILES it works on those that RAMFERRY_DATA names, or on generated text and records.
    Beside them stand QEMU's zlib, and libqatzip in software where qzip is here. All work is done
    in software, packet by packet as relays do it, and every byte is compared.
    """
    from ramferry.cli.runs import bench_codec

    bench_codec.run(**options)
