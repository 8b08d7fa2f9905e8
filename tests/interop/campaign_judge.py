"""What a trial led to, and everything about it that may not be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from campaign_claims import Scene, advises, untrue
from campaign_route import Route, Station
from campaign_trial import Trial

DOCUMENTED = frozenset({0, 2, 3, 4, 5, 6, 7, 8, 9, 130})
"""Exit codes of README; 1 is "unforeseen"."""
STAYS = frozenset({5, 6})
"""Those that say: the guest is at the source."""
BORN = 0.35
"""Seconds in which a process need not have come to its first line."""
UNDONE_MS = 1500
"""What a guest that was let run at the destination may lose where the source's goes on instead:
both ran at once until ``migrate`` saw it."""
TRACES = ("Traceback (most recent call last)", "internal error", "Exception in thread")


@dataclass(slots=True)
class Outcome:
    """How a trial ended."""

    id: str
    text: str
    """The trial, in words."""
    where: str = ""
    """ "moved", "stayed", "killed" on purpose, "told" that it stands still and how to go on; "both"
    where the answer was cut between hand-run relays, "both untold" where nobody noticed; "LOST",
    "TWO"."""
    struck: bool = False
    reached: str = ""
    """The last phase that was seen."""
    codes: dict[str, int | None] = field(default_factory=dict)
    said: dict[str, list[str]] = field(default_factory=dict)
    overlap_ms: int = 0
    """How long both guests ran at once."""
    undone_ms: int = 0
    """How long the destination's guest had run before it was stopped for the source's."""
    seconds: float = 0.0
    violations: list[tuple[str, str]] = field(default_factory=list)
    """Kind and what was seen."""

    def blame(self, kind: str, what: str) -> None:
        """Something that may not be."""
        self.violations.append((kind, what))


def judge_guest(outcome: Outcome, trial: Trial, seen: Scene, *, moved: bool) -> None:
    """Say where the guest is, and whether it may be there.

    :param moved: the destination's guest has run, or its answer was on its way.
    """
    lines = [line for told in outcome.said.values() for line in told]
    killed = trial.killed
    if seen.source and seen.destination:
        if trial.answer_cut:
            outcome.where = "both" if advises(lines) else "both untold"
        else:
            outcome.where = "TWO"
            outcome.blame("two guests", f"{seen}")
    elif seen.source or seen.destination:
        outcome.where = "stayed" if seen.source else "moved"
        if seen.source and outcome.undone_ms > UNDONE_MS and trial.managed:
            outcome.blame("work undone", f"{outcome.undone_ms} ms of the destination's guest")
    elif (killed == "source" and not moved) or (killed == "destination" and moved):
        outcome.where = "killed"
    elif advises(lines):
        outcome.where = "told"
    else:
        outcome.where = "LOST"
        outcome.blame("lost guest", f"{seen}")


def judge_words(outcome: Outcome, said: dict[str, list[str]], seen: Scene, when: str) -> None:
    """Compare what was said with what was seen."""
    for name, lines in said.items():
        for line in lines:
            for phrase in untrue(line, seen):
                outcome.blame("untrue", f"{name} said {line!r}, but {seen} {when}: {phrase!r}")


def judge_code(outcome: Outcome, trial: Trial, station: Station, seen: Scene) -> None:
    """Compare an exit code with what it stands for."""
    code = station.process.returncode
    mine = trial.target == station.name
    if code < 0:
        early = station.ended_at - station.started < BORN
        if not (mine and (trial.fault == "sigkill" or early)):
            outcome.blame("ended by a signal", f"{station.name}: {-code}, {station.told()[-1:]}")
        return
    if code not in DOCUMENTED:
        outcome.blame("exit code", f"{station.name}: {code}, {station.told()[-1:]}")
    master = station.name == "migrate" or not trial.managed
    if code == 0 and master and not seen.destination and trial.killed != "destination":
        outcome.blame("untrue", f"{station.name} exited with 0, but {seen}")
    if code in STAYS and seen.destination and not seen.source:
        outcome.blame("untrue", f"{station.name} exited with {code}, but {seen}")
    if code and not any(line.startswith("ramferry") for line in station.told()[-1:]):
        outcome.blame("no sentence", f"{station.name}: {code}, {station.told()[-1:]}")


def judge_traces(outcome: Outcome, said: dict[str, list[str]]) -> None:
    """Nobody shows a person what is for programmers."""
    for name, lines in said.items():
        for line in lines:
            if any(trace in line for trace in TRACES):
                outcome.blame("traceback", f"{name}: {lines[-1]}")
                break


def judge_leftovers(outcome: Outcome, trial: Trial, route: Route) -> None:
    """Nothing outlives those who made it, but what a ``kill -9`` leaves."""
    for child in route.children.values():
        if child.is_running() and child.status() != "zombie":
            outcome.blame("left over", f"process {child.pid}: {' '.join(child.cmdline()[-9:])}")
    for station in route.stations.values():
        killed = trial.fault == "sigkill" and trial.target == station.name
        if killed or station.alive:
            continue
        if left := sorted(path.name for path in station.temporary.rglob("*")):
            outcome.blame("left over", f"files of {station.name}: {left}")
    near = route.stations.get("near")
    if near is not None and not near.alive and near.process.returncode >= 0 and near.sockets():
        outcome.blame("left over", f"the near relay's socket {near.sockets()}")


def last_words(lines: Sequence[str]) -> list[str]:
    """What a person is told in the end: without the lines about progress."""
    return [line for line in lines if "left, " not in line and "iteration" not in line]
