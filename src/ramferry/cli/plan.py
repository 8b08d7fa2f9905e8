"""``ramferry plan``: what to reserve, and which method to choose."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from typing import Any

import click
from rich.console import Console

from ramferry import __version__
from ramferry.cli.doctor import facts_of
from ramferry.cli.params import RATE
from ramferry.cli.plan_link import command as link
from ramferry.cli.plan_time import command as time
from ramferry.errors import UsageError
from ramferry.hardware.diagnosis import diagnose
from ramferry.hardware.families import FAMILIES, INSTANCES_ALONE
from ramferry.hardware.memory import DEFAULT_HW_BUFF_SZ, MemoryQuestion, plan_memory, vfs_for
from ramferry.hardware.method import MethodQuestion, advise, question_of
from ramferry.metrics.host import MemoryPlan, MethodAdvice
from ramferry.report.document import FORMAT, write_document
from ramferry.report.lines import Lines
from ramferry.report.plans import print_memory, print_method

ROLES = {"sender": ("sender",), "receiver": ("receiver",), "both": ("sender", "receiver")}


@click.group()
def command() -> None:
    """Plan memory, method and time of a migration before it runs."""


command.add_command(time)
command.add_command(link)


@command.command(short_help="DMA memory that QATzip in hardware takes, and its limits")
@click.option(
    "--channels",
    type=click.IntRange(1, 255),
    default=8,
    show_default=True,
    help="multifd-channels of the migration.",
)
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
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON on stdout.")
def memory(as_json: bool, role: str, **question: Any) -> None:
    """DMA memory that QATzip in hardware takes, low and high, and the limits to set for it."""
    plan = plan_memory(_memory_question(**question), ROLES[role])
    if as_json:
        _print_json(plan)
    else:
        print_memory(plan, Lines(Console()))


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


@command.command(short_help="QATzip, QPL or software, and by which rule")
@click.option("--qat", type=click.IntRange(0), help="QAT devices. Default: what is ready here.")
@click.option("--iaa", type=click.IntRange(0), help="IAA devices. Default: what is ready here.")
@click.option(
    "--svm/--no-svm", default=None, help="Shared virtual memory for IAA. Default: as found here."
)
@click.option(
    "--bandwidth",
    type=RATE,
    metavar="RATE",
    help="What the migration's link carries in bytes a second (125M, 10Gbit). Default: the fastest"
    " interface that is up here.",
)
@click.option(
    "--cpus",
    type=click.IntRange(1),
    help="CPUs that compression in software may use. Default: all of this host.",
)
@click.option(
    "--sysroot",
    default="/",
    metavar="DIR",
    help="Discover below DIR, as from a copy of another host. Default: /.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the advice as JSON on stdout.")
def method(as_json: bool, sysroot: str, **given: Any) -> None:
    """QATzip, QPL, or software: which method to take here, and by which rule."""
    advice = advise(_method_question(sysroot, given))
    if as_json:
        _print_json(advice)
    else:
        print_method(advice, Lines(Console()))


def _method_question(sysroot: str, given: dict[str, Any]) -> MethodQuestion:
    """What was given stands in the place of what is discovered."""
    if given["bandwidth"] == 0:
        raise UsageError("a link of 0 bytes a second carries nothing: leave --bandwidth out")
    _, facts = facts_of(sysroot)
    report = diagnose(facts)
    question = question_of(facts, report.qatzip, report.qpl)
    for name, value in given.items():
        if value is not None:
            option = "--no-svm" if name == "svm" and not value else f"--{name}"
            question = replace(question, **{name: value, f"{name}_from": option})
    return question


def _print_json(plan: MemoryPlan | MethodAdvice) -> None:
    write_document({"format": FORMAT, "ramferry": __version__, **asdict(plan)}, sys.stdout)
