"""How findings are made: one call each, so that a judgement reads as its sentence."""

from __future__ import annotations

from dataclasses import replace

from ramferry.metrics.host import Evidence, Finding, Verdict

Commands = tuple[str, ...]


def ok(check: str, subject: str, sentence: str, *evidence: Evidence) -> Finding:
    """All is well."""
    return Finding(check, subject, Verdict.OK, sentence, evidence)


def warning(
    check: str, subject: str, sentence: str, *evidence: Evidence, commands: Commands = ()
) -> Finding:
    """It works, or cannot be judged, and may surprise."""
    return Finding(check, subject, Verdict.WARNING, sentence, evidence, commands)


def problem(
    check: str, subject: str, sentence: str, *evidence: Evidence, commands: Commands = ()
) -> Finding:
    """It keeps something from working."""
    return Finding(check, subject, Verdict.PROBLEM, sentence, evidence, commands)


def several(count: int, noun: str) -> str:
    """ "1 VF", "16 VFs", "no VFs"."""
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"


def none_of(kind: str, bus: Evidence) -> Evidence:
    """A directory's listing as evidence that it holds none of a kind."""
    return replace(bus, content=f"{bus.content}, none of {kind}") if bus.content else bus
