"""What ``ramferry plan method`` does; its options are in ``cli.plan_method``."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from rich.console import Console

from ramferry.cli.json_file import JsonFile
from ramferry.cli.results import put
from ramferry.cli.runs.doctor import facts_of
from ramferry.errors import UsageError
from ramferry.hardware.diagnosis import diagnose
from ramferry.hardware.method import MethodQuestion, advise, question_of
from ramferry.metrics.document import document
from ramferry.report.lines import Lines
from ramferry.report.plans import print_method


def run(json_file: JsonFile | None, sysroot: str, **given: Any) -> None:
    """Run it, with the values of its options."""
    advice = advise(_method_question(sysroot, given))
    put(
        document("method-advice", asdict(advice)),
        json_file,
        lambda out: print_method(advice, Lines(Console(file=out))),
    )


def _method_question(sysroot: str, given: dict[str, Any]) -> MethodQuestion:
    """What this host has, with the given options in place of what was discovered."""
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
