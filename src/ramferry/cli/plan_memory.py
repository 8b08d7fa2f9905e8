"""``ramferry plan memory``: what QATzip in hardware takes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click
from rich.console import Console

from ramferry.cli.json_file import JsonFile, json_option
from ramferry.cli.params import channels_option
from ramferry.cli.results import put
from ramferry.errors import UsageError
from ramferry.hardware.dma_memory import DEFAULT_HW_BUFF_SZ, MemoryQuestion, plan_memory, vfs_for
from ramferry.hardware.families import FAMILIES, INSTANCES_ALONE
from ramferry.report.document import document
from ramferry.report.lines import Lines
from ramferry.report.plans import print_memory

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
    default=DEFAULT_HW_BUFF_SZ,
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
def command(json_file: JsonFile | None, role: str, **question: Any) -> None:
    """DMA memory that QATzip in hardware takes, low and high, and the limits to set for it."""
    plan = plan_memory(_memory_question(**question), ROLES[role])
    put(
        document("memory-plan", asdict(plan)),
        json_file,
        lambda out: print_memory(plan, Lines(Console(file=out))),
    )


def _memory_question(
    *,
    channels: int,
    vfs: int | None,
    instances: int | None,
    hw_buff_sz: int,
    device: str,
    qatzip: str,
    locked: int,
) -> MemoryQuestion:
    if vfs is None:
        vfs = vfs_for(instances) if instances else 1
    return MemoryQuestion(
        channels=channels,
        vfs=vfs,
        instances=instances or vfs * INSTANCES_ALONE,
        hw_buff_sz=hw_buff_sz,
        family=device,
        locked_mib=locked,
        qatzip=_version(qatzip),
    )


def _version(text: str) -> tuple[int, ...]:
    parts = text.split(".")
    if not all(part.isascii() and part.isdigit() and len(part) < 5 for part in parts):
        raise UsageError(f"{text!r} is no version: write it as 1.3.1")
    return tuple(map(int, parts))
