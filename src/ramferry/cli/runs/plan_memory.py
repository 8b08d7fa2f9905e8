"""What ``ramferry plan memory`` does; its options are in ``cli.plan_memory``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console

from ramferry.cli.json_file import JsonFile
from ramferry.cli.plan_memory import ROLES
from ramferry.cli.results import put
from ramferry.errors import UsageError
from ramferry.hardware.dma_memory import MemoryQuestion, plan_memory, vfs_for
from ramferry.hardware.families import INSTANCES_ALONE
from ramferry.metrics.document import document
from ramferry.report.lines import Lines
from ramferry.report.plans import print_memory


def run(json_file: JsonFile | None, role: str, **question: Any) -> None:
    """Run it, with the values of its options."""
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
