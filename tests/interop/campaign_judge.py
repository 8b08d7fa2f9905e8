"""What a trial led to, and everything about it that may not be."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from campaign_claims import Scene, advises, untrue
from campaign_excuses import excuse
from campaign_phases import PHASES
from campaign_route import Route
from campaign_station import Station
from campaign_trial import ALTERS, LATE, Trial

DOCUMENTED = frozenset({0, 2, 3, 4, 5, 6, 7, 8, 9, 130})
"""Exit codes of README; 1 is "unforeseen"."""
STAYS = frozenset({5, 6})
"""Those that say: the guest is at the source."""
HOST = 8
NEVER = {2: "usage", 4: "a QEMU that lacks something", HOST: "this host"}
"""Causes that no fault of a campaign is."""
ASKED = {6: "cancelled", 130: "interrupted"}
"""Causes that somebody must have wished."""
UNDONE_MS = 1500
"""What a guest that was let run at the destination may lose where the source's goes on instead:
both ran at once until ``migrate`` saw it."""
GONE_SECONDS = 6.0
"""Within which nothing of a far half is left there."""
OWED_SECONDS = 80.0
"""The same where its switchover was under way: its relay may wait to be asked how that ended."""
POLL_SECONDS = 0.05
TRACES = ("Traceback (most recent call last)", "internal error", "Exception in thread")


@dataclass(slots=True)
class Outcome:
    """How a trial ended."""

    id: str
    text: str
    """The trial, in words."""
    topology: str = ""
    fault: str = ""
    where: str = ""
    """ "moved", "stayed", "killed" on purpose, "told" that it stands still and how to go on; "both"
    where the answer was cut between hand-run relays, "both untold" where nobody noticed; "two
    paused" copies of a guest that does not run; "LOST", "TWO"."""
    struck: bool = False
    early: bool = False
    """The fault met bytes before ram's END was seen."""
    reached: str = ""
    """The last phase that was seen."""
    codes: dict[str, int | None] = field(default_factory=dict)
    said: dict[str, list[str]] = field(default_factory=dict)
    overlap_ms: int = 0
    """How long both guests ran at once."""
    undone_ms: int = 0
    """How long the destination's guest had run before it was stopped for the source's."""
    again: bool = False
    """The same relays have carried another migration."""
    seconds: float = 0.0
    ended: list[str] = field(default_factory=list)
    """Stations that had not ended in time, and were killed by us."""
    violations: list[tuple[str, str]] = field(default_factory=list)
    """Kind and what was seen."""
    known: list[tuple[str, str]] = field(default_factory=list)
    """Kind and why it is today's truth."""

    def blame(self, kind: str, what: str) -> None:
        """Something that may not be."""
        self.violations.append((kind, what))

    def weigh(self, trial: Trial, kind: str, what: str) -> bool:
        """Something that may not be, but where it is known; whether it is."""
        if reason := excuse(trial, kind):
            self.known.append((kind, reason))
        else:
            self.blame(kind, what)
        return bool(reason)


def judge_guest(outcome: Outcome, trial: Trial, seen: Scene, *, moved: bool) -> None:
    """Say where the guest is, and whether it may be there, as it is.

    :param moved: the destination's guest has run, or its answer was on its way.
    """
    lines = [line for told in outcome.said.values() for line in told]
    killed = trial.killed
    if seen.paused and (seen.source or seen.destination):
        outcome.blame("woke", f"the guest was paused, and {seen}")
    if seen.source and seen.destination:
        known = outcome.weigh(trial, "two guests", f"{seen}")
        outcome.where = ("both" if advises(lines) else "both untold") if known else "TWO"
    elif seen.at_source and seen.at_destination:
        outcome.where = "two paused"
        if not advises(lines):
            outcome.weigh(trial, "two paused", f"{seen}")
    elif seen.at_source or seen.at_destination:
        outcome.where = "stayed" if seen.at_source else "moved"
        if seen.source and outcome.undone_ms > UNDONE_MS and trial.managed:
            outcome.blame("work undone", f"{outcome.undone_ms} ms of the destination's guest")
    elif (killed == "source" and not moved) or (killed == "destination" and moved):
        outcome.where = "killed"
    elif advises(lines):
        outcome.where = "told"
    else:
        outcome.where = "LOST"
        outcome.weigh(trial, "lost guest", f"{seen}")


def judge_unhurt(outcome: Outcome) -> None:
    """A migration that was over before its fault could be ends well."""
    ill = {name: code for name, code in outcome.codes.items() if code}
    if not outcome.struck and (ill or outcome.where != "moved"):
        outcome.blame("failed by itself", f"{outcome.where}, {ill}, {outcome.said}")


def judge_found(outcome: Outcome, trial: Trial) -> None:
    """A changed byte between two Ramferrys is found while the source's guest lives."""
    here = trial.place == "wire" and trial.way_there.verified
    early = trial.phase not in LATE and outcome.early
    if here and early and trial.fault in ALTERS and outcome.struck and outcome.where != "stayed":
        outcome.blame("not found", f"{trial.fault} in {trial.target}: {outcome.where}")


def judge_monitors(outcome: Outcome, trial: Trial, seen: Scene) -> None:
    """Each monitor answers, or its process has ended."""
    for name, state in (("source", seen.source_state), ("destination", seen.destination_state)):
        if not state:
            outcome.weigh(trial, f"silent {name}", f"its monitor does not answer; {seen}")


def judge_words(outcome: Outcome, said: dict[str, list[str]], seen: Scene, when: str) -> None:
    """Compare what was said with what was seen."""
    for name, lines in said.items():
        for line in lines:
            for phrase in untrue(line, seen):
                outcome.blame("untrue", f"{name} said {line!r}, but {seen} {when}: {phrase!r}")


def judge_code(outcome: Outcome, trial: Trial, station: Station, seen: Scene) -> None:
    """Compare an exit code with what it stands for."""
    code = outcome.codes[station.name]
    if code is None or station.name in outcome.ended:
        return
    mine = trial.target == station.name
    if code < 0:
        if not (mine and trial.fault == "sigkill"):
            outcome.blame("ended by a signal", f"{station.name}: {-code}, {station.told()[-1:]}")
        return
    if code not in DOCUMENTED:
        outcome.blame("exit code", f"{station.name}: {code}, {station.told()[-1:]}")
    _judge_cause(outcome, trial, station, code)
    master = station.name == "migrate" or not trial.managed
    if code == 0 and master and not seen.at_destination and trial.killed != "destination":
        outcome.weigh(trial, "untrue 0", f"{station.name} exited with 0, but {seen}")
    if code in STAYS and seen.at_destination and not seen.at_source:
        outcome.weigh(trial, "untrue code", f"{station.name} exited with {code}, but {seen}")
    if code and not any(line.startswith("ramferry") for line in station.told()[-1:]):
        outcome.blame("no sentence", f"{station.name}: {code}, {station.told()[-1:]}")


def _judge_cause(outcome: Outcome, trial: Trial, station: Station, code: int) -> None:
    """An exit code that names what cannot have been the cause."""
    asked = trial.fault.startswith("sig") or trial.fault in ("cancel", "timeout")
    if code == HOST and trial.phase == "start" and trial.target in ("near", "far"):
        return  # a relay that was interrupted before it listened could not be started
    if code in NEVER or (code in ASKED and not asked and station.name == "migrate"):
        said = last_words(station.told())[-1:]
        meaning = {**NEVER, **ASKED}[code]
        outcome.blame("wrong cause", f"{station.name}: {code}, which is {meaning}: {said}")


def judge_traces(outcome: Outcome, said: dict[str, list[str]]) -> None:
    """Nobody shows a person what is for programmers."""
    for name, lines in said.items():
        for line in lines:
            if any(trace in line for trace in TRACES):
                outcome.blame("traceback", f"{name}: {lines[-1]}")
                break


def judge_leftovers(outcome: Outcome, trial: Trial, route: Route) -> None:
    """Nothing outlives those who made it, but what a ``kill -9`` leaves."""
    owed = trial.topology == "ssh" and outcome.reached in PHASES[PHASES.index("switchover") :]
    deadline = time.monotonic() + (OWED_SECONDS if owed else GONE_SECONDS)
    while (left := _living(route)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for line in left:
        outcome.blame("left over", f"process {line}")
    for station in route.stations.values():
        killed = trial.fault == "sigkill" and trial.target == station.name
        if killed or station.alive or station.process.returncode < 0:
            continue
        if files := _files(station.temporary):
            outcome.blame("left over", f"files of {station.name}: {files}")
        if sockets := station.sockets():
            outcome.blame("left over", f"sockets of {station.name}: {sockets}")
    killed = trial.fault == "sigkill" and trial.target in ("half", "far")
    if route.sshd is not None and not killed and (files := _files(route.sshd.scratch)):
        outcome.blame("left over", f"files of the far half: {files}")


def _living(route: Route) -> list[str]:
    """Processes that live and are not to: whoever holds a source was named to a person."""
    said = " ".join(line for one in route.stations.values() for line in one.told())
    found = []
    for child in route.family.living():
        with suppress(psutil.Error):
            if f"process {child.pid}" not in said:
                found.append(f"{child.pid}: {' '.join(child.cmdline()[-9:])}")
    return found


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def last_words(lines: Sequence[str]) -> list[str]:
    """What a person is told in the end: without the lines about progress."""
    return [line for line in lines if "left, " not in line and "iteration" not in line]
