"""Several real guests at a time through one pair of relays, under faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from guests import COMMANDS
from many_soak import Soak

from ramferry.bench.qemu import qemu_at

pytestmark = pytest.mark.interop


def test_guests_keep_their_own_memory_and_place(require_peer: Callable[[str], Path]) -> None:
    # a 7.2 dies if it is asked again before the relay has closed main of a failed migration
    course = Soak(qemu_at(require_peer(COMMANDS["10.0"])), 3, 16).run(20)
    assert not course.wrong
    assert course.outcomes["no fault: completed"] >= 3


@pytest.mark.slow
def test_eight_guests_for_ten_minutes(require_peer: Callable[[str], Path]) -> None:
    course = Soak(qemu_at(require_peer(COMMANDS["10.0"])), 8, 16).run(600)
    assert not course.wrong
    assert course.most_at_once == 8
    fifth = len(course.rss) // 5
    for column in (1, 2):
        early = max(one[column] for one in course.rss[fifth : 2 * fifth])
        late = max(one[column] for one in course.rss[-fifth:])
        assert late < 1.2 * early + (8 << 20)
