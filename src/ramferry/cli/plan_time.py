"""``ramferry plan time``: how long a migration would take, by each method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ramferry.cli.json_option import json_option
from ramferry.cli.params import (
    LINK,
    RATE,
    SIZE,
    accelerator_option,
    channels_option,
    downtime_limit_option,
    page_size_option,
)
from ramferry.cli.ssh_options import direct_options
from ramferry.cli.words import addresses
from ramferry.vocabulary import METHOD_FLAGS

EPILOG = """\b
Exit codes: 0 forecast, also where no method converges; 2 usage; 3 no QEMU
answers; 4 it lacks a command; 6 interrupted: the guest was not touched; 8 it,
or this user, may not; 130 interrupted before it was at work."""


@click.command(epilog=EPILOG)
@click.argument(
    "guest",
    metavar="qmp:PATH|libvirt:DOMAIN|RAMFILE",
    shell_complete=addresses("qmp:", "libvirt:", files=True),
)
@click.option(
    "--link",
    type=LINK,
    required=True,
    metavar="RATE|probe:HOST:PORT|ssh://HOST",
    shell_complete=addresses("probe:", "ssh://"),
    help="What the link carries in bytes a second: 117M, 1Gbit; 0 where it limits nothing. Or where"
    " `ramferry plan link` waits for a probe, which fills the link for a second; it is started by"
    " ssh with ssh://[USER@]HOST[:PORT].",
)
@click.option(
    "--cores",
    type=click.IntRange(1, 4096),
    metavar="N",
    help="Cores that each side may spend; the other host is not asked.  [default: those that this"
    " command may use here, also by its control group]",
)
@click.option(
    "--one-host",
    is_flag=True,
    help="The destination is on this host: both sides share the cores.",
)
@channels_option
@click.option(
    "--methods",
    default=",".join(METHOD_FLAGS),
    show_default=True,
    metavar="M,M,…",
    help="What to compare, each at its default level; none is always among them.",
)
@click.option(
    "--dirty-rate",
    type=RATE,
    metavar="RATE",
    help="Guest memory that is dirtied, in bytes a second.  [default: 0, as of an idle guest]",
)
@click.option(
    "--measure-dirty",
    type=click.IntRange(1, 60),
    metavar="SECONDS",
    help="Have QEMU measure that for so many seconds.  [default: not]",
)
@downtime_limit_option
@click.option(
    "--sample",
    type=SIZE,
    metavar="SIZE",
    help="Memory to look at, in pieces of 256 KiB from all over the guest.  [default: 64M]",
)
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder where the QEMU may write a piece of memory for a moment.  [default: /dev/shm]",
)
@page_size_option
@accelerator_option
@direct_options
@json_option()
def command(**options: Any) -> None:
    """Forecast a migration before it runs: time, downtime, CPU and wire bytes of each method.

    Reads a sample of the guest's memory, of the QEMU at qmp:PATH (also qmp:HOST:PORT of this host),
    of libvirt:DOMAIN (by /proc, as root: libvirt's monitor is left alone) or from a file with its
    RAM, and compresses it on this host with every method. A QEMU's guest
    runs on meanwhile. Times are for a pair of relays, a destination as fast as this host, and
    destination memory that is preallocated.
    """
    from ramferry.cli.runs import plan_time

    plan_time.run(**options)
