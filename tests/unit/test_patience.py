"""Time in which this process stood still is nobody's silence."""

from __future__ import annotations

import pytest

from fakes_clock import Clock
from ramferry.patience import LONGEST_STEP, Patience


def test_a_wait_is_over_after_its_seconds() -> None:
    clock = Clock()
    patience = Patience(1.0, clock=clock.monotonic)
    for _ in range(4):
        assert not patience.over
        clock.now += 0.25
    assert patience.over
    assert patience.left == 0.0


@pytest.mark.parametrize("stopped", [3.0, 30.0, 300.0])
def test_a_process_that_stood_still_has_waited_for_one_step_at_most(stopped: float) -> None:
    clock = Clock()
    patience = Patience(2.5, clock=clock.monotonic)
    clock.now += stopped
    assert patience.spent == LONGEST_STEP
    assert not patience.over
    assert patience.left == 1.5


def test_a_longer_step_counts_where_one_may_block() -> None:
    clock = Clock()
    patience = Patience(10.0, longest_step=4.0, clock=clock.monotonic)
    clock.now += 3.5
    assert patience.spent == 3.5
    clock.now += 300.0
    assert patience.spent == 7.5


def test_a_restarted_wait_has_all_its_seconds() -> None:
    clock = Clock()
    patience = Patience(1.0, clock=clock.monotonic)
    clock.now += 0.9
    assert not patience.over
    patience.restart()
    clock.now += 0.9
    assert not patience.over
