"""What is known of a link's rate."""

from __future__ import annotations

import pytest

from ramferry.policy.link import HOLD, LONGEST_HOLD, LinkRate


def test_a_link_is_known_once_it_has_blocked() -> None:
    free = LinkRate().seen(1.0, 30e6, False)
    assert (free.rate, free.known) == (30e6, False)
    assert free.seen(2.0, 20e6, False).rate == 30e6
    blocked = free.seen(2.0, 50e6, True)
    assert (blocked.rate, blocked.known) == (50e6, True)


def test_small_changes_are_smoothed_and_large_ones_believed_at_once() -> None:
    known = LinkRate().seen(1.0, 100e6, True)
    assert known.seen(2.0, 110e6, True).rate == pytest.approx(105e6)
    assert known.seen(2.0, 25e6, True).rate == 25e6
    assert known.seen(2.0, 300e6, True).rate == 300e6


def test_what_nothing_confirms_is_doubted_and_still_a_lower_bound() -> None:
    known = LinkRate().seen(1.0, 100e6, True)
    assert known.seen(0.9 + HOLD, 60e6, False) == known
    doubted = known.seen(1.1 + HOLD, 60e6, False)
    assert (doubted.rate, doubted.known) == (100e6, False)


def test_a_link_that_carries_more_than_was_believed_is_unknown_at_once() -> None:
    faster = LinkRate().seen(1.0, 100e6, True).seen(1.5, 130e6, False)
    assert (faster.rate, faster.known, faster.hold) == (130e6, False, HOLD)


def test_a_rate_that_is_found_again_and_again_is_believed_longer() -> None:
    link, now, holds = LinkRate().seen(0.0, 100e6, True), 0.0, []
    for _ in range(8):
        now = link.until + 0.1
        link = link.seen(now, 60e6, False)
        assert not link.known
        link = link.seen(now + 1, 101e6, True)
        holds.append(link.hold)
    assert holds == [20, 40, 80, 80, 80, 80, 80, 80]
    assert holds[-1] == LONGEST_HOLD
    assert link.seen(now + 2, 40e6, True).hold == HOLD
