"""``ramferry plan memory``: what QATzip in hardware takes."""

from __future__ import annotations

from typing import Any

import click

from ramferry.cli.json_option import json_option
from ramferry.cli.params import channels_option
from ramferry.hardware.families import FAMILIES
from ramferry.vocabulary import MEMBER_SIZE

ROLES = {"sender": ("sender",), "receiver": ("receiver",), "both": ("sender", "receiver")}


@click.command()
@channels_option
@click.option(
    "--role",
    type=click.Choice(list(ROLES)),
    default="both",
    show_default=True,
    help="Which side the process is.",
)
@click.option("--vfs", type=click.IntRange(1, 4096), help="VFs the process is given. Default: 1.")
@click.option(
    "--instances",
    type=click.IntRange(1, 16384),
    help="Compression instances it opens. Default: 4 for each VF, as with dc alone.",
)
@click.option(
    "--hw-buff-sz",
    type=int,
    default=MEMBER_SIZE,
    show_default=True,
    help="QATzip's hardware buffer in bytes, a power of two from 1024 to 524288.",
)
@click.option(
    "--device",
    type=click.Choice([family.name for family in FAMILIES]),
    default="4xxx",
    show_default=True,
    help="Family of the device.",
)
@click.option(
    "--qatzip",
    default="1.3.1",
    metavar="VERSION",
    show_default=True,
    help="QATzip's version; after 1.3.1 the figures are estimates.",
)
@click.option(
    "--locked",
    type=click.IntRange(0),
    default=0,
    metavar="MIB",
    show_default=True,
    help="MiB that the process locks besides, as a QEMU that passes devices through does.",
)
@json_option()
def command(**options: Any) -> None:
    """DMA memory that QATzip in hardware takes, low and high, and the limits to set for it."""
    from ramferry.cli.runs import plan_memory

    plan_memory.run(**options)
