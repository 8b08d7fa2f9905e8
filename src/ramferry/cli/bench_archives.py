"""``ramferry bench archives``: saving and restoring, beside what QEMU itself can do."""

from __future__ import annotations

from typing import Any

import click

from ramferry.cli.params import SIZE, archive_channels_option


@click.command()
@click.option(
    "--memory",
    type=SIZE,
    default=1 << 30,
    metavar="SIZE",
    help="The guest's RAM, held three times: 512M, 2G.  [default: 1G]",
)
@archive_channels_option(
    "multifd channels of Ramferry and of mapped-ram; QEMU's other ways have one stream."
)
@click.option(
    "--repeat",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="Runs of each way, interleaved.",
)
@click.option(
    "--qemu",
    metavar="VERSION",
    help="Which QEMU, as 7.2 or 10.0.  [default: the newest that is found]",
)
def command(**options: Any) -> None:
    """Compare `ramferry save` and `restore` with QEMU's own `exec:zstd` and `file:`.

    `exec:zstd` runs with one thread and with all cores, `file:` without and with mapped-ram and
    multifd, as libvirt writes its sparse save files. What this QEMU or this host cannot do is left
    out, with a sentence.

    A stopped guest, filled with the files that RAMFERRY_DATA names (or generated data), is saved
    every way in turn, and every file restored into a fresh QEMU whose RAM is compared.
    """
    from ramferry.cli.runs import bench_archives

    bench_archives.run(**options)
