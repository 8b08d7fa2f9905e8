"""The pacer's clock: slots in order, no burst after silence, one end for all waiters."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

from fakes_clock import Clock
from ramferry.transport import pacing
from ramferry.transport.pacing import Pacer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    return clock


def test_without_a_rate_nobody_waits(clock: Clock) -> None:
    pacer = Pacer(0)
    assert [pacer.charge(10**12) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert clock.now == 1000.0


def test_slots_follow_each_other_at_the_rate(clock: Clock) -> None:
    pacer = Pacer(1e6)
    pacer.charge(0)
    waits = [pacer.charge(250_000) for _ in range(5)]
    steps = [after - before for before, after in pairwise(waits)]
    assert steps == pytest.approx([0.25] * 4)
    clock.now += 0.5
    assert pacer.charge(0) == pytest.approx(waits[-1] + 0.25 - 0.5)


def test_a_silence_is_not_caught_up_beyond_the_burst(clock: Clock) -> None:
    pacer = Pacer(1e6)
    pacer.charge(0)
    clock.now += 3600
    assert pacer.charge(1_000_000) == pytest.approx(-Pacer.BURST)
    assert pacer.charge(0) == pytest.approx(1.0 - Pacer.BURST)


def test_every_byte_of_many_threads_is_charged_once(clock: Clock) -> None:
    pacer = Pacer(1e6)
    pacer.charge(0)

    def charge() -> None:
        for _ in range(200):
            pacer.charge(1000)

    threads = [threading.Thread(target=charge) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pacer.charge(0) == pytest.approx(8 * 200 * 1000 / 1e6 - Pacer.BURST)
    assert clock.now == 1000.0


def test_end_wakes_who_waits_and_who_will() -> None:
    pacer = Pacer(1.0)
    pacer.charge(3600)
    waiter = threading.Thread(target=pacer.wait, args=(1,))
    waiter.start()
    pacer.end()
    waiter.join(5)
    assert not waiter.is_alive()
    pacer.wait(3600)


@pytest.mark.parametrize("rate", [1e12, 0.0])
def test_a_cap_that_is_raised_frees_who_already_waits(rate: float) -> None:
    pacer = Pacer(1.0)
    pacer.charge(3600)
    waiter = threading.Thread(target=pacer.wait, args=(1,))
    waiter.start()
    waiter.join(0.05)
    assert waiter.is_alive()
    pacer.rate = rate
    waiter.join(5)
    assert not waiter.is_alive()


def test_a_changed_cap_counts_for_what_is_queued(clock: Clock) -> None:
    pacer = Pacer(1e6)
    pacer.charge(2_000_000)
    clock.now += 1.0 - Pacer.BURST
    pacer.rate = 4e6
    assert pacer.charge(0) == pytest.approx(0.25)
    pacer.rate = 1e5
    assert pacer.charge(0) == pytest.approx(10.0)
    assert pacer.rate == 1e5


def test_a_cap_that_is_set_later_forgives_what_went_before(clock: Clock) -> None:
    pacer = Pacer(0)
    pacer.charge(10**12)
    clock.now += 1
    pacer.rate = 1e6
    pacer.charge(500_000)
    assert pacer.charge(0) == pytest.approx(0.5)
