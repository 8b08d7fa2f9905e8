"""Sentences about refused connections: one for those that come together, another one later."""

from __future__ import annotations

import math

from fakes_clock import Clock
from ramferry.flows.inlet.refusals import AGAIN, Refusals
from ramferry.patience import Patience


def test_a_sentence_is_said_once_for_connections_that_come_together() -> None:
    clock, notes = Clock(), list[str]()
    running = Patience(math.inf, longest_step=math.inf, clock=clock.monotonic)
    refusals = Refusals(notes.append, running)
    first = refusals.say("alpha", "speaks TLS")
    assert [refusals.say("alpha", "speaks TLS") for _ in range(8)] == [first] * 8
    other = refusals.say("beta", "speaks TLS")
    assert (
        notes
        == [first, other]
        == [
            "refused a connection of alpha: it speaks TLS",
            "refused a connection of beta: it speaks TLS",
        ]
    )
    clock.now += AGAIN
    assert refusals.say("alpha", "speaks TLS") == first
    assert notes == [first, other, first]
