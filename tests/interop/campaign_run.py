"""One trial from its start to its verdict."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from campaign_claims import Scene
from campaign_guests import Life, Peer, ask, first_life, memory_fault, two_peers
from campaign_judge import (
    Outcome,
    judge_code,
    judge_guest,
    judge_leftovers,
    judge_traces,
    judge_words,
    last_words,
)
from campaign_phases import PHASES, Phases, StreamWatch
from campaign_route import Route, Station
from campaign_strike import Follower, Striker
from campaign_trial import Trial

DEADLINE_SECONDS = 50.0
"""For every process that was asked for something to have ended: a dead link takes 20 s, what a
relay or QEMU waits for then some more."""
RELAY_SECONDS = 12.0
"""A hand-run relay's, from the source's end to its own."""
SETTLE_SECONDS = 15.0
STEADY_SECONDS = 1.5
"""For one guest to run where all is over."""
BOTH_SECONDS = 3.0
KILLED_SECONDS = 5.0
"""For nobody to run where a QEMU was killed."""
SAID_SECONDS = 1.0
"""After the last word of ``migrate``, what it says must be so."""
POLL_SECONDS = 0.05


class Run:
    """One trial; ``outcome`` is filled by ``run``."""

    def __init__(self, trial: Trial) -> None:
        self.outcome = Outcome(trial.id, str(trial))
        self._trial = trial
        self._striker = Striker(trial)
        self._phases = Phases(trial.phase, self._striker.strike)

    def run(self) -> Outcome:
        """Do it; whatever was started has ended when this returns."""
        began = time.monotonic()
        folder = Path(tempfile.mkdtemp(prefix="rfc-"))
        trial = self._trial
        try:
            with ExitStack() as stack:
                peers = stack.enter_context(two_peers(trial.source, trial.destination))
                first_life(peers[0])  # type: ignore[arg-type]
                life = stack.enter_context(Life(*peers))
                stack.callback(self._striker.close)
                look = StreamWatch(self._phases).look
                route = Route(trial, *peers, folder, look)
                self._striker.route = route
                alone = not trial.watch
                follower = stack.enter_context(Follower(peers[0], self._phases, alone=alone))
                stack.enter_context(route)
                self._go_through(route, life, follower)
        finally:
            shutil.rmtree(folder)
        self.outcome.seconds = round(time.monotonic() - began, 1)
        return self.outcome

    def _go_through(self, route: Route, life: Life, follower: Follower) -> None:
        if self._trial.phase == "start":
            self._striker.strike()
        self._until_ended(route, life, follower)
        if self._striker.trouble:
            self.outcome.said["harness"] = [self._striker.trouble]
        self._end_relays(route)
        seen = self._settle(route, life)
        self._judge(route, life, seen)

    def _until_ended(self, route: Route, life: Life, follower: Follower) -> None:
        """Wait until all are through; ``migrate``'s last word is held against what is seen then."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        master = route.stations.get("migrate")
        ended = 0.0
        held = master is None
        while time.monotonic() < deadline:
            route.note_children()
            through = not master.alive if master else follower.ended
            ended = (ended or time.monotonic()) if through else 0.0
            if ended and not held and time.monotonic() - ended > SAID_SECONDS and master:
                held = True
                self._hold_to_its_word(route, master, life)
            waited = ended and time.monotonic() - ended > RELAY_SECONDS
            relays = master is None and any(one.alive for one in route.stations.values())
            struck = self._striker.over or not self._striker.struck_at
            if ended and held and struck and (waited or not relays):
                return
            time.sleep(POLL_SECONDS)
        for name, station in route.stations.items():
            if station.alive and name == "migrate":
                told = last_words(station.told())[-1:]
                self.outcome.blame("hangs", f"{name} after {DEADLINE_SECONDS:g} s, said {told}")
                station.process.kill()

    def _hold_to_its_word(self, route: Route, master: Station, life: Life) -> None:
        stopped = self._trial.fault == "sigstop" and not self._striker.over
        if stopped and self._trial.target in ("source", "destination"):
            return  # it stands still by our hand
        seen = self._scene(route, life)
        said = {"migrate": last_words(master.told())[-1:]}
        judge_words(self.outcome, said, seen, f"{SAID_SECONDS:g} s later")

    def _end_relays(self, route: Route) -> None:
        """Those that wait for a migration that never came."""
        for name, station in route.stations.items():
            if not station.alive:
                continue
            station.process.send_signal(signal.SIGTERM)
            try:
                station.process.wait(RELAY_SECONDS)
            except subprocess.TimeoutExpired:
                self.outcome.blame("hangs", f"{name} after SIGTERM, said {station.told()[-1:]}")
                station.process.kill()
                station.process.wait()

    def _settle(self, route: Route, life: Life) -> Scene:
        """Wait until one guest runs for good, or none or both do."""
        deadline = time.monotonic() + SETTLE_SECONDS
        steady, since = life.running, time.monotonic()
        while time.monotonic() < deadline:
            if life.running != steady:
                steady, since = life.running, time.monotonic()
            enough = (SETTLE_SECONDS, STEADY_SECONDS, BOTH_SECONDS)[sum(steady)]
            if self._trial.killed in ("source", "destination"):
                enough = min(enough, KILLED_SECONDS)
            if time.monotonic() - since > enough:
                break
            time.sleep(POLL_SECONDS)
        return self._scene(route, life)

    def _scene(self, route: Route, life: Life) -> Scene:
        return Scene(*life.running, _state(route.source), _state(route.destination))

    def _judge(self, route: Route, life: Life, seen: Scene) -> None:
        outcome, trial = self.outcome, self._trial
        said = {name: station.told() for name, station in route.stations.items()}
        outcome.said |= {name: last_words(lines)[-4:] for name, lines in said.items()}
        outcome.struck = bool(self._striker.struck_at)
        outcome.reached = max(self._phases.seen, key=PHASES.index, default="")
        outcome.overlap_ms = round(life.overlap * 1000)
        outcome.undone_ms = round(life.ran_there * 1000) if seen.source else 0
        moved = bool(life.ran_there) or not {"answer", "after"}.isdisjoint(self._phases.seen)
        judge_guest(outcome, trial, seen, moved=moved)
        judge_words(
            outcome, {name: last_words(lines) for name, lines in said.items()}, seen, "then"
        )
        for station in route.stations.values():
            if not station.alive:
                outcome.codes[station.name] = station.process.returncode
                judge_code(outcome, trial, station, seen)
        ends = {"source": route.source, "destination": route.destination}
        said |= {name: peer.stderr().splitlines() for name, peer in ends.items()}
        judge_traces(outcome, said)
        judge_leftovers(outcome, trial, route)
        for runs, (name, peer) in zip((seen.source, seen.destination), ends.items(), strict=True):
            if runs and (fault := memory_fault(peer, trial.source)):
                outcome.blame("memory", f"at the {name}: {fault}")


def _state(peer: Peer) -> str:
    if not peer.alive:
        return "gone"
    return str(ask(peer, "query-status", "status") or "")


def run_trial(trial: Trial) -> Outcome:
    """Run one trial; a fault of the harness is an outcome, too."""
    run = Run(trial)
    try:
        return run.run()
    except Exception as error:
        run.outcome.where = "harness"
        run.outcome.blame("harness", f"{type(error).__name__}: {error}")
        return run.outcome
