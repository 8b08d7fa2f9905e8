"""One trial from its start to its verdict."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from campaign_again import judge_next
from campaign_claims import Scene, untrue
from campaign_guests import Life, Peer, ask, memory_fault, two_peers
from campaign_judge import (
    Outcome,
    judge_code,
    judge_found,
    judge_guest,
    judge_leftovers,
    judge_monitors,
    judge_traces,
    judge_unhurt,
    judge_words,
    last_words,
)
from campaign_phases import PHASES, Phases, StreamWatch
from campaign_route import Route
from campaign_ssh import available
from campaign_station import Station
from campaign_strike import Follower, Striker
from campaign_trial import Trial

DEADLINE_SECONDS = 80.0
"""For every process that was asked for something to have ended: a relay of ``migrate`` gives a
destination that takes nothing up after 60 s."""
DECIDE_SECONDS = 70.0
"""More, where a relay of ``migrate`` asks for a minute how a switchover ended."""
RELAY_SECONDS = 12.0
"""A hand-run relay's, from the source's end to its own."""
SETTLE_SECONDS = 15.0
STEADY_SECONDS = 1.5
"""For one guest to run where all is over."""
BOTH_SECONDS = 3.0
KILLED_SECONDS = 5.0
"""For nobody to run where a QEMU was killed."""
SAID_SECONDS = 1.0
"""After the last word of ``migrate``, what it says must be so …"""
LIE_SECONDS = 3.0
"""… or come to be so in this time: one look sees 0.2 s of life, and a busy host may hold up a guest
for as long."""
POLL_SECONDS = 0.05
LEFT_OUT = "left out"


class Run:
    """One trial; ``outcome`` is filled by ``run``."""

    def __init__(self, trial: Trial) -> None:
        self.outcome = Outcome(trial.id, str(trial), trial.topology, trial.fault)
        self._trial = trial
        self._striker = Striker(trial)
        self._phases = Phases(trial.phase, self._striker.strike)

    def run(self) -> Outcome:
        """Do it; whatever was started has ended when this returns."""
        began = time.monotonic()
        folder = Path(tempfile.mkdtemp(prefix="rfc-"))
        look = StreamWatch(self._phases).look
        try:
            with Route(self._trial, folder, look, self._striker.proxy_made) as route:
                self._striker.route = route
                seen = self._with_guests(route)
                judge_next(self.outcome, self._trial, route)
                self._end_stations(route, lambda _: True)
                self._judge_stations(route, seen)
        finally:
            shutil.rmtree(folder)
        self.outcome.seconds = round(time.monotonic() - began, 1)
        return self.outcome

    def _with_guests(self, route: Route) -> Scene:
        """The migration, and what is seen of it while its guests live."""
        trial = self._trial
        with ExitStack() as stack:
            peers = stack.enter_context(
                two_peers(trial.source, trial.destination, paused=trial.paused)
            )
            life = stack.enter_context(Life(*peers))
            stack.callback(self._striker.close)
            alone = not trial.watch
            follower = stack.enter_context(Follower(peers[0], self._phases, alone=alone))
            route.start(*peers)
            if trial.phase == "start":
                self._striker.strike()
            self._until_ended(route, life, follower)
            if self._striker.trouble:
                self.outcome.said["harness"] = [self._striker.trouble]
            self._end_stations(route, lambda station: station.once)
            seen = self._settle(route, life)
            self._judge(route, life, seen)
            return seen

    def _until_ended(self, route: Route, life: Life, follower: Follower) -> None:
        """Wait until all are through; ``migrate``'s last word is held against what is seen then."""
        deadline = time.monotonic() + self._patience
        master = route.stations.get("migrate")
        ended = 0.0
        held = master is None
        while time.monotonic() < deadline:
            route.note_children()
            through = not master.alive if master else follower.ended or self._nobody(route)
            ended = (ended or time.monotonic()) if through else 0.0
            if ended and not held and time.monotonic() - ended > SAID_SECONDS and master:
                held = True
                self._hold_to_its_word(route, master, life)
            waited = ended and time.monotonic() - ended > RELAY_SECONDS
            relays = master is None and any(one.busy for one in route.stations.values())
            struck = self._striker.over or not self._striker.struck_at
            if ended and held and struck and (waited or not relays):
                return
            time.sleep(POLL_SECONDS)
        if master is not None and master.alive:
            told = last_words(master.told())[-1:]
            self.outcome.weigh(
                self._trial, "hangs", f"migrate after {self._patience:g} s, said {told}"
            )
            self.outcome.ended.append("migrate")
            master.process.kill()

    @property
    def _patience(self) -> float:
        asks = self._trial.managed and self._trial.way_there.verified
        return DEADLINE_SECONDS + (DECIDE_SECONDS if asks else 0.0)

    def _nobody(self, route: Route) -> bool:
        """Whether all relays have ended: a source that is held may never see an end."""
        return not any(one.busy for one in route.stations.values())

    def _hold_to_its_word(self, route: Route, master: Station, life: Life) -> None:
        stopped = self._trial.fault == "sigstop" and not self._striker.over
        if stopped and self._trial.target in ("source", "destination"):
            return  # it stands still by our hand
        words = last_words(master.told())[-1:]
        seen, deadline = self._scene(route, life), time.monotonic() + LIE_SECONDS
        while any(untrue(line, seen) for line in words) and time.monotonic() < deadline:
            route.note_children()
            time.sleep(POLL_SECONDS)
            seen = self._scene(route, life)
        when = f"{SAID_SECONDS:g} s later and for {LIE_SECONDS:g} s"
        judge_words(self.outcome, {"migrate": words}, seen, when)

    def _end_stations(self, route: Route, who: Callable[[Station], bool]) -> None:
        """Those that wait for a migration that never came, or for another one."""
        for name, station in route.stations.items():
            if not station.alive or not who(station):
                continue
            station.process.send_signal(signal.SIGTERM)
            try:
                station.process.wait(RELAY_SECONDS)
            except subprocess.TimeoutExpired:
                self.outcome.blame("hangs", f"{name} after SIGTERM, said {station.told()[-1:]}")
                station.process.kill()
                station.process.wait()

    def _settle(self, route: Route, life: Life) -> Scene:
        """Wait until one guest runs for good, or none or both do; or a paused one is somewhere."""
        deadline = time.monotonic() + SETTLE_SECONDS
        seen = steady = self._scene(route, life)
        since = time.monotonic()
        while time.monotonic() < deadline:
            seen = self._scene(route, life)
            if (seen.at_source, seen.at_destination) != (steady.at_source, steady.at_destination):
                steady, since = seen, time.monotonic()
            there = steady.at_source + steady.at_destination
            enough = (SETTLE_SECONDS, STEADY_SECONDS, BOTH_SECONDS)[there]
            if self._trial.killed in ("source", "destination"):
                enough = min(enough, KILLED_SECONDS)
            if time.monotonic() - since > enough:
                break
            time.sleep(POLL_SECONDS)
        return seen

    def _scene(self, route: Route, life: Life) -> Scene:
        states = _state(route.source), _state(route.destination)
        paused = self._trial.paused
        ended = ask(route.source, "query-migrate", "status") if paused else None
        kept = ended in ("cancelled", "failed")
        return Scene(*life.running, *states, paused=paused, kept=kept)

    def _judge(self, route: Route, life: Life, seen: Scene) -> None:
        outcome, trial = self.outcome, self._trial
        said = {name: station.told() for name, station in route.stations.items()}
        outcome.said |= {name: last_words(lines)[-4:] for name, lines in said.items()}
        outcome.struck = self._striker.hit
        outcome.early = self._striker.hit_before(self._phases.seen.get("switchover"))
        outcome.reached = max(self._phases.seen, key=PHASES.index, default="")
        outcome.overlap_ms = round(life.overlap * 1000)
        outcome.undone_ms = round(life.ran_there * 1000) if seen.source else 0
        moved = bool(life.ran_there) or not {"answer", "after"}.isdisjoint(self._phases.seen)
        judge_guest(outcome, trial, seen, moved=moved)
        judge_monitors(outcome, trial, seen)
        judge_words(
            outcome, {name: last_words(lines) for name, lines in said.items()}, seen, "then"
        )
        ends = {"source": route.source, "destination": route.destination}
        said |= {name: peer.stderr().splitlines() for name, peer in ends.items()}
        judge_traces(outcome, said)
        there = (seen.at_source, seen.at_destination)
        for runs, (name, peer) in zip(there, ends.items(), strict=True):
            if runs and (fault := memory_fault(peer, trial.source)):
                outcome.weigh(trial, "memory", f"at the {name}: {fault}")

    def _judge_stations(self, route: Route, seen: Scene) -> None:
        for name, station in route.stations.items():
            if not station.alive:
                self.outcome.codes[name] = station.code
                judge_code(self.outcome, self._trial, station, seen)
        judge_found(self.outcome, self._trial)
        judge_unhurt(self.outcome)
        judge_leftovers(self.outcome, self._trial, route)


def _state(peer: Peer) -> str:
    if not peer.alive:
        return "gone"
    return str(ask(peer, "query-status", "status") or "")


def run_trial(trial: Trial) -> Outcome:
    """Run one trial; a fault of the harness is an outcome, too, and so is a host without sshd."""
    run = Run(trial)
    if trial.topology == "ssh" and (why := available()):
        run.outcome.where = LEFT_OUT
        run.outcome.known.append((LEFT_OUT, why))
        return run.outcome
    try:
        return run.run()
    except Exception as error:
        run.outcome.where = "harness"
        run.outcome.blame("harness", f"{type(error).__name__}: {error}")
        return run.outcome
