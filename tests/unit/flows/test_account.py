"""What is told of a migration: how far it is, how long it stood still, how it ended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from fakes_destination import Habits
from fakes_relay import RelayThread, Stage
from fakes_wire import Guest, Script
from ramferry.errors import Cancelled, MigrationFailed, PeerTimeout, RamferryError
from ramferry.flows.session import account
from ramferry.flows.session.account import SwitchoverClock, outcome_of
from ramferry.flows.session.phase import Phase
from ramferry.flows.session.session import Session
from ramferry.metrics.states import STATES


def test_the_clock_runs_from_end_to_shut(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([5.0, 5.5, 9.0])
    monkeypatch.setattr(account, "time", SimpleNamespace(monotonic=lambda: next(now)))
    clock = SwitchoverClock()
    for phase in (Phase.GATHERING, Phase.CARRYING, Phase.SWITCHOVER):
        clock.enter(phase)
        assert clock.seconds is None
    clock.enter(Phase.SWITCHOVER)
    clock.enter(Phase.CONFIRMED)
    clock.enter(Phase.CONFIRMED)
    assert clock.seconds == 0.5


def test_every_phase_is_a_state() -> None:
    assert {phase.word for phase in Phase} == set(STATES)


@pytest.mark.parametrize(
    ("phase", "error", "switched", "taken", "outcome"),
    [
        (Phase.CONFIRMED, None, True, True, "completed"),
        (Phase.FAILED, MigrationFailed("broke"), False, None, "failed"),
        (Phase.FAILED, Cancelled("asked"), False, None, "cancelled"),
        (Phase.FAILED, MigrationFailed("refused"), True, False, "failed"),
        (Phase.FAILED, MigrationFailed("no answer"), True, None, "undecided"),
        (Phase.FAILED, PeerTimeout("ended in the switchover"), True, None, "undecided"),
        (Phase.FAILED, MigrationFailed("withdrawn, and taken"), True, True, "undecided"),
    ],
)
def test_how_it_ended(
    phase: Phase, error: RamferryError | None, switched: bool, taken: bool | None, outcome: str
) -> None:
    session = SimpleNamespace(phase=phase, error=error, switched=switched, taken=taken)
    assert outcome_of(cast(Session, session)) == outcome


def test_a_relays_result_tells_of_its_switchover(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    with RelayThread(stage.settings) as relay:
        stage.carry(relay, Script(Guest()))
        good = relay.finished()
        bad = stage.fail(relay, Script(Guest()), Habits(shut=1), nth=2)
    assert (good.outcome, bad.outcome) == ("completed", "failed")
    assert good.downtime_seconds is not None
    assert 0 < good.downtime_seconds < good.counters.seconds
    assert bad.downtime_seconds is None
    counters = good.counters
    assert (counters.state, counters.method_in) == ("ending", good.method_in)
    assert 0 < counters.mark_seconds < counters.seconds
