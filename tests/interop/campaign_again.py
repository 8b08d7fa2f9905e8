"""After a trial, the relays that stay carry another migration: that of a fresh guest."""

from __future__ import annotations

import time

from campaign_judge import Outcome
from campaign_route import Route
from campaign_station import Station
from campaign_trial import Trial
from migrating import listen, prepare

from ramferry.bench.builtin import BuiltIn
from ramferry.errors import RamferryError

MEMORY = 8 * 1024 * 1024
CARRY_SECONDS = 30.0
IDLE_SECONDS = 15.0
"""For a relay to have ended a migration whose guests have."""
POLL_SECONDS = 0.02


def judge_next(outcome: Outcome, trial: Trial, route: Route) -> None:
    """Have the relays that were started by hand carry on; the trial's guests have ended."""
    ready = [one for name in ("near", "far") if (one := route.stations.get(name)) and fit(one)]
    if trial.once or len(ready) != len(route.stations.keys() & {"near", "far"}) or not ready:
        return
    route.heal()
    for one in ready:
        one.count()
        if not idle(one):
            outcome.blame("left over", f"{one.name} has {one.connections()} sockets open")
            return
    method = trial.method if trial.topology == "one" else "none"
    with BuiltIn(MEMORY) as source, BuiltIn(MEMORY, ["--incoming", "defer"]) as destination:
        try:
            _carry(route, ready, source, destination, method)
        except (RamferryError, AssertionError) as error:
            said = {one.name: one.told()[-1:] for one in ready}
            outcome.blame("no next migration", f"{error}; {said}")
        else:
            outcome.again = True


def fit(station: Station) -> bool:
    """Whether a relay is to carry on: it stays, and lives."""
    return station.alive and not station.once


def idle(station: Station) -> bool:
    """Whether a relay comes to have no socket but the one it listens at."""
    deadline = time.monotonic() + IDLE_SECONDS
    while station.connections() > 1:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _carry(
    route: Route, relays: list[Station], source: BuiltIn, destination: BuiltIn, method: str
) -> None:
    listen(destination, method, route.trial.channels, route.incoming)  # type: ignore[arg-type]
    prepare(source, "none", route.trial.channels)  # type: ignore[arg-type]
    before = [len(one.results()) for one in relays]
    source.qmp.execute("migrate", {"uri": route.way_in(relays[0])})
    deadline = time.monotonic() + CARRY_SECONDS
    while any(len(one.results()) == n for one, n in zip(relays, before, strict=True)):
        assert time.monotonic() < deadline, "the next migration did not end"
        time.sleep(POLL_SECONDS)
    for one in relays:
        result = one.results()[-1]
        assert result["completed"], f"the next migration failed: {result['error']}"
    assert not _bad(destination), "the next migration's memory is not right"


def _bad(destination: BuiltIn) -> int:
    destination.qmp.execute("stop")
    return destination.bad_pages()
