"""When a chooser looks at the link, and when it decides."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from policy_worlds import BINARY, TEXT
from ramferry.flows.choosing import chooser as chooser_module
from ramferry.flows.choosing.chooser import (
    EARLY_EVERY,
    EVERY,
    IDLE_EVERY,
    QUICK_EVERY,
    QUICK_SECONDS,
    Chooser,
    Way,
)
from ramferry.flows.choosing.uses import Use
from ramferry.flows.session.session import Session
from ramferry.flows.session.tally import ChannelTally, Tally
from ramferry.policy.candidates import candidates
from ramferry.policy.expectations import YARDSTICK
from ramferry.policy.link import LinkRate
from ramferry.policy.measurements import NONE
from ramferry.policy.trials import START, Plan, Trial
from ramferry.vocabulary import AUTO, OFF, PAGE_SIZE

STEP = 0.005
UNKNOWN, KNOWN = LinkRate(), LinkRate(30e6, known=True)
WAY = Way(candidates(device=False), None, list, AUTO, OFF)


class Played:
    """A chooser whose clock and link are played; what it decides is, too."""

    def __init__(self, patch: pytest.MonkeyPatch, link: Callable[[float], LinkRate]) -> None:
        self.now = 100.0
        self.looks: list[float] = []
        self.decisions: list[float] = []
        self.provisional = True
        clock = SimpleNamespace(monotonic=lambda: self.now, thread_time=lambda: 0.0)
        patch.setattr(chooser_module, "time", clock)
        session = SimpleNamespace(
            tally=Tally(PAGE_SIZE, started=self.now),
            settings=SimpleNamespace(page_size=PAGE_SIZE, cpu_limit=0.0),
        )
        self.chooser = Chooser(cast("Session", session), WAY)

        def look() -> LinkRate:
            self.looks.append(self.elapsed)
            return link(self.elapsed)

        def decide(_: float, rate: LinkRate) -> None:
            self.decisions.append(self.elapsed)
            choice: Any = SimpleNamespace(provisional=self.provisional and not rate.known)
            self.chooser._choice = choice

        patch.setattr(self.chooser, "_carried", look)
        patch.setattr(self.chooser, "_decide", decide)

    @property
    def elapsed(self) -> float:
        return self.now - 100.0

    def until(self, seconds: float) -> None:
        """Let the relay's loop turn."""
        while self.elapsed < seconds:
            self.chooser.look()
            self.now += STEP
        self.chooser.close()


def test_nothing_is_decided_anew_while_nothing_is_compressed_and_the_link_not_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = Played(monkeypatch, lambda _: UNKNOWN)
    played.until(0.55)
    assert played.decisions == pytest.approx(
        [0.0, QUICK_EVERY, 2 * QUICK_EVERY], abs=2 * (IDLE_EVERY + STEP)
    )
    assert len(played.looks) >= 0.5 / (IDLE_EVERY + STEP)


def test_it_is_decided_as_soon_as_the_link_is_known_and_not_while_that_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    played = Played(monkeypatch, lambda now: KNOWN if now >= 0.1 else UNKNOWN)
    played.until(0.5)
    assert played.decisions == pytest.approx([0.0, 0.1, 0.1 + QUICK_EVERY], abs=IDLE_EVERY + STEP)


def test_what_is_provisional_is_looked_at_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch, lambda _: UNKNOWN)
    played.chooser.plain = False  # compressed by what is not known for good
    played.until(0.3)
    assert len(played.decisions) >= 0.3 / (EARLY_EVERY + STEP)


def test_later_on_it_is_decided_twice_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch, lambda _: KNOWN)
    played.until(QUICK_SECONDS + 4)
    late = [one for one in played.decisions if one > QUICK_SECONDS + EVERY]
    assert len(late) == pytest.approx((4 - EVERY) / EVERY, abs=1)
    assert len(played.looks) == len(played.decisions)


def test_a_packet_that_would_not_be_tried_on_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not copied, and no thread is woken."""
    played = Played(monkeypatch, lambda _: UNKNOWN)
    chooser = played.chooser
    assert not chooser.wants(TEXT)  # nothing is planned yet
    near = (Trial(YARDSTICK, 0.002),)
    chooser._plan = Plan({TEXT: near}, {})
    assert chooser.wants(TEXT)
    assert not chooser.wants(BINARY)
    chooser.trials.open = False
    assert not chooser.wants(TEXT)
    chooser.trials.open, chooser.trials.seconds = True, START
    assert not chooser.wants(TEXT)
    chooser.close()


def test_what_uses_take_is_the_channels_time_in_codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the uses' own clocks: packets that go as they are say nothing of the others."""
    played = Played(monkeypatch, lambda _: UNKNOWN)
    tally = ChannelTally("multifd 0")
    made = played.chooser.encoder(tally)
    for candidate, seconds in ((NONE, 0.0), (YARDSTICK, 0.5)):
        use = made.uses[TEXT, candidate] = Use(TEXT, candidate)
        use.clock.size = 10
        use.clock.add(10, seconds)
    assert tally.codec_seconds == 0.5
    tally.encoding.run(10, lambda: None)
    assert tally.codec_seconds == 0.5
    played.chooser.close()
