"""``ramferry plan method``: which method to take, and by which rule."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import click
from rich.console import Console

from ramferry.cli.doctor import facts_of
from ramferry.cli.json_file import JsonFile, json_option
from ramferry.cli.params import RATE
from ramferry.cli.results import put
from ramferry.errors import UsageError
from ramferry.hardware.diagnosis import diagnose
from ramferry.hardware.method import MethodQuestion, advise, question_of
from ramferry.report.document import document
from ramferry.report.lines import Lines
from ramferry.report.plans import print_method


@click.command()
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
@json_option()
def command(json_file: JsonFile | None, sysroot: str, **given: Any) -> None:
    """QATzip, QPL, or software: which method to take here, and by which rule."""
    advice = advise(_method_question(sysroot, given))
    put(
        document("method-advice", asdict(advice)),
        json_file,
        lambda out: print_method(advice, Lines(Console(file=out))),
    )


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
