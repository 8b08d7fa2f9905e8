"""Whether the switchover is near, on a clock of the test's own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ramferry.flows.choosing import nearness
from ramferry.flows.choosing.nearness import Nearness
from ramferry.flows.session.phase import Phase


class Clock:
    now = 50.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(nearness, "time", made)
    return made


def session(**settings: object) -> SimpleNamespace:
    return SimpleNamespace(**{"ending": False, "phase": Phase.CARRYING, **settings})


def rounds(clock: Clock, near: Nearness, *lengths: float) -> None:
    for length in lengths:
        clock.now += length
        near.round_ended()


def test_a_short_round_says_that_it_is_near_and_a_long_one_that_it_is_not(clock: Clock) -> None:
    near = Nearness(session())  # type: ignore[arg-type]
    rounds(clock, near, 0.01, 20.0)  # the setup's mark, and the first round
    assert not near.look()
    rounds(clock, near, 4.0)
    assert not near.look()
    rounds(clock, near, 0.4)
    assert near.look()
    clock.now += 1.5
    assert not near.look()


def test_rams_end_and_all_behind_it_are_near() -> None:
    assert Nearness(session(ending=True)).look()  # type: ignore[arg-type]
    assert Nearness(session(phase=Phase.SWITCHOVER)).look()  # type: ignore[arg-type]
    assert not Nearness(session()).look()  # type: ignore[arg-type]
