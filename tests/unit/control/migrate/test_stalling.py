"""When a migration counts as stalled."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ramferry.control.migrate.rounds import Rounds
from ramferry.control.migrate.stalling import Stall, StallWatch
from ramferry.forecast.eta import MigrationSample
from simulated_migration import MIB

WINDOW = 4.0


def verdict(
    left: Sequence[int], seconds: float = 1.0, *, full: bool = True, window: float = WINDOW
) -> Stall | None:
    """The verdict on rounds that begin with so many MiB, each ``seconds`` after the other."""
    rounds, watch = Rounds(), StallWatch(window)
    for at, size in enumerate(left):
        for part in range(2):  # the second look is in the middle of the round
            sample = MigrationSample(
                (at + part / 2) * seconds,
                "active",
                at + 1,
                1 << 30,
                int(size * MIB * (1 - part / 2)),
                int((sum(left[:at]) + size * part / 2) * MIB),
                0,
                0.0,
                None,
                None,
            )
            another = rounds.take(sample)
            found = watch.look(sample.seconds, rounds, another=another, full=full)
            if found is not None:
                return found
    return None


@pytest.mark.parametrize(
    ("left", "at"),
    [
        ([100] * 20, 4),
        ([400, 200, 100, *[100] * 20], 6),
        ([100, 97, 100, 97, 100, 97, 100], 4),  # 3 % less is no less
        ([100, 97, 100, 97, 102, 97, 102], 5),  # 102 is more than 97 and 4 %
        ([100, 120, 120, 120, 120, 120, 120, 120, 100], 8),  # not before a local minimum …
        ([100, *[120] * 30], 8),  # … but not for ever
        ([100, 98, 96, 94, 92, 90, 88, 86, 84, 82, 80, 78, 76, 74], None),
        ([100, 95, 100, 95, 90, 100, 86, 100, 82], None),
        ([100, 100, 100], None),
    ],
)
def test_verdicts(left: Sequence[int], at: int | None) -> None:
    found = verdict(left)
    assert (None if found is None else found.seconds) == at


def test_a_round_that_takes_minutes_says_nothing_before_its_end() -> None:
    assert verdict([900, 800], seconds=100) is None
    found = verdict([900, 900, 900], seconds=100)
    assert found is not None
    assert found.seconds == 200


def test_not_before_the_whole_wish_is_allowed() -> None:
    assert verdict([100] * 20, full=False) is None


def test_sentence() -> None:
    found = verdict([300] * 20)
    assert found is not None
    assert found.left_bytes == 300 * MIB
    assert found.sentence(40) == (
        "for 40 s what is left has not become less: 300 MiB, 1 s at 315 MB/s of guest memory"
    )
