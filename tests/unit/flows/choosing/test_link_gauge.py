"""What is known of a link by what channels waited for, on a clock of the test's own."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ramferry.flows.choosing import link
from ramferry.flows.choosing.link import LinkGauge
from ramferry.policy.link import LONGEST_HOLD, LinkRate
from ramferry.transport.waits import Waits

RATE = 30e6


@dataclass
class Wire:
    """A link and its channels, second by second."""

    now: float = 100.0
    sent: int = 0
    waited: float = 0.0
    busy: float = 0.0
    by_peer: float = 0.0

    def fileno(self) -> int:
        return 7

    def go(
        self, gauge: LinkGauge, rate: float, waits: float, busy: float, peer: float = 0
    ) -> LinkRate:
        """A quarter of a second at so many bytes a second; on average so many channels wait."""
        self.now += 0.25
        self.sent += int(rate * 0.25)
        self.waited += waits * 0.25
        self.busy += busy * 0.25
        self.by_peer += peer * 0.25
        return gauge.look([self], self.sent, self.waited)  # type: ignore[list-item]


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()
    monkeypatch.setattr(link.time, "monotonic", lambda: made.now)
    monkeypatch.setattr(link, "waits_of", lambda _: Waits(made.busy, made.by_peer))
    return made


def started(wire: Wire, cap: float = 0.0) -> LinkGauge:
    """A gauge that has seen the first pages go."""
    gauge = LinkGauge(cap)
    wire.go(gauge, 0, 0, 0)
    assert wire.go(gauge, 10e6, 2.0, 2.0).rate == cap
    return gauge


def test_a_link_that_holds_the_channels_up_is_known(wire: Wire) -> None:
    gauge = started(wire)
    for rate in (29e6, RATE, 12e6, 30e6, RATE):  # one of them was short of cores
        seen = wire.go(gauge, rate, 2.5, 2.4)
    assert seen.known
    assert seen.rate == pytest.approx(RATE, rel=0.03)


def test_one_that_carries_what_comes_is_known_to_carry_that_at_least(wire: Wire) -> None:
    gauge = started(wire)
    for rate in (500e6, 400e6):
        seen = wire.go(gauge, rate, 1.2, 0.1)
        assert (seen.rate, seen.known) == (500e6, False)


def test_a_link_that_becomes_slower_is_known_soon(wire: Wire) -> None:
    gauge = started(wire)
    for rate in (RATE, RATE, RATE, RATE / 5, RATE / 5, RATE / 5):
        seen = wire.go(gauge, rate, 2.5, 2.4)
    assert seen.known
    assert seen.rate == pytest.approx(RATE / 5)


def test_a_peer_that_does_not_read_is_not_the_link(wire: Wire) -> None:
    gauge = started(wire)
    assert not wire.go(gauge, RATE, 3.0, 2.5, peer=2.4).known


def test_channels_that_do_not_wait_do_not_show_the_link(wire: Wire) -> None:
    gauge = started(wire)
    assert not wire.go(gauge, RATE, 0.2, 2.5).known


def test_what_was_known_is_doubted_after_a_while(wire: Wire) -> None:
    gauge = started(wire)
    wire.go(gauge, RATE, 2.5, 2.5)
    assert wire.go(gauge, RATE / 2, 0.0, 0.2).known
    wire.now += LONGEST_HOLD
    assert not wire.go(gauge, RATE / 2, 0.0, 0.2).known


def test_a_cap_is_a_link_that_is_known_unless_the_link_is_slower(wire: Wire) -> None:
    gauge = started(wire, cap=RATE)
    seen = wire.go(gauge, RATE / 2, 0.0, 0.1)
    assert (seen.rate, seen.known) == (RATE, True)
    for _ in range(4):
        seen = wire.go(gauge, RATE / 3, 2.0, 2.0)
    assert seen.known
    assert seen.rate == pytest.approx(RATE / 3)


def test_what_arrived_counts_and_not_what_lies_in_a_buffer(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    acked = 1000
    monkeypatch.setattr(link, "waits_of", lambda _: Waits(wire.busy, wire.by_peer, acked))
    gauge = LinkGauge()
    for _ in range(4):
        acked += int(RATE * 0.25)
        seen = wire.go(gauge, 2 * RATE, 2.5, 2.4)
    assert seen.known
    assert seen.rate == pytest.approx(RATE)


def test_connections_without_such_counters_are_passed_over(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "waits_of", lambda _: None)
    gauge = started(wire)
    assert not wire.go(gauge, RATE, 3.0, 3.0).known
