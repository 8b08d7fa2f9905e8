"""A fixed sample of the campaign of faults: 40 trials, most of them with built-in guests.

Four classes, which xdist gives to different workers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from campaign_draw import QUICK, draw
from campaign_run import LEFT_OUT, run_trial
from run_campaign import PEERS_HERE

from conftest import COMMANDS

pytestmark = pytest.mark.interop

SEED = 15
SAMPLE = [draw(SEED, number, QUICK) for number in range(40)]


@pytest.fixture(autouse=True)
def peers(require_peer: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Some trials are of real QEMUs."""
    for command in COMMANDS.values():
        require_peer(command)
    monkeypatch.setenv("RAMFERRY_PEERS", PEERS_HERE)


class Trials:
    """What each class of the sample does."""

    def test_one_guest_and_the_truth(self, number: int) -> None:
        outcome = run_trial(SAMPLE[number])
        if outcome.where == LEFT_OUT:
            pytest.skip(f"{outcome.text}: {outcome.known}")
        assert not outcome.violations, f"{outcome.text}: {outcome.violations}; {outcome.said}"


@pytest.mark.parametrize("number", range(0, 40, 4))
class TestFirst(Trials):
    """A quarter."""


@pytest.mark.parametrize("number", range(1, 40, 4))
class TestSecond(Trials):
    """A quarter."""


@pytest.mark.parametrize("number", range(2, 40, 4))
class TestThird(Trials):
    """A quarter."""


@pytest.mark.parametrize("number", range(3, 40, 4))
class TestFourth(Trials):
    """A quarter."""
