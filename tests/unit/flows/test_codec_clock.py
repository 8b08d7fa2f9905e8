"""What a codec costs: some packets are timed, the others reckoned."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ramferry.flows.session.tally import CodecClock

PACKET = 512 * 1024


def test_some_packets_are_timed() -> None:
    clock, timed = CodecClock(), []
    for nth in range(100):
        clock.size += PACKET
        if clock.size > clock.due:
            timed.append(nth)
            clock.add(PACKET, 0.001)
        assert clock.seconds == pytest.approx(0.001 * (nth + 1))
    assert timed[:5] == [0, 1, 2, 3, 4]
    assert {b - a for a, b in pairwise(timed[4:])} == {17}


def test_the_others_are_reckoned_by_their_bytes() -> None:
    clock = CodecClock()
    assert clock.seconds == 0
    clock.size += PACKET
    clock.add(PACKET, 0.001)
    clock.size += PACKET // 2
    assert clock.seconds == pytest.approx(0.0015)


def test_a_cold_first_packet_counts_for_itself_alone() -> None:
    clock = CodecClock()
    for seconds in (0.020, 0.001, 0.001):
        clock.size += PACKET
        clock.add(PACKET, seconds)
    assert clock.seconds == pytest.approx(0.003)


def test_one_that_rests_times_nothing() -> None:
    clock = CodecClock()
    clock.rest()
    assert clock.run(PACKET, lambda: "done") == "done"
    assert (clock.size, clock.seconds) == (PACKET, 0.0)
