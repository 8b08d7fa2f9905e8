"""What is done to a source while its memory moves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ramferry.control.migrate.in_flight import Delivered
from ramferry.control.migrate.on_stall import OnStall
from ramferry.control.migrate.steering import Steering
from ramferry.control.migrate.wish import Wish
from ramferry.forecast.eta import MigrationSample
from ramferry.metrics import Stalled
from simulated_migration import MIB, Simulated

WISH = Wish("none", stall_seconds=5.0)


class Hands:
    """Keeps what was done."""

    def __init__(self) -> None:
        self.limits: list[int] = []
        self.done: list[str] = []

    def limit(self, milliseconds: int) -> None:
        self.limits.append(milliseconds)

    def throttle(self) -> str:
        self.done.append("throttle")
        return "it is throttled"

    def pause(self) -> str:
        self.done.append("pause")
        return "it is stopped"


def stalled(wish: Wish) -> tuple[Steering, Hands, list[str], str]:
    """A guest that writes faster than it moves, up to a minute; what it was cancelled for."""
    hands, notes = Hands(), list[str]()
    steering = Steering(wish, hands, notes.append)
    guest = Simulated(512 * MIB, 400e6, lambda _: 800e6, 400 * MIB, most_seconds=60)
    for sample in guest.run():
        slowed = replace(sample, throttle_percent=20 if hands.done == ["throttle"] else 0)
        if why := steering.look(slowed, None):
            return steering, hands, notes, why
    return steering, hands, notes, ""


@pytest.mark.parametrize(
    ("on_stall", "done", "ends"),
    [
        (OnStall.WAIT, [], "--on-stall throttle, pause or cancel does something about it"),
        (OnStall.THROTTLE, ["throttle"], "; it is throttled"),
        (OnStall.PAUSE, ["pause"], "; it is stopped"),
    ],
)
def test_a_stall_is_said_and_done_something_about_once(
    on_stall: OnStall, done: list[str], ends: str
) -> None:
    steering, hands, (note,), why = stalled(replace(WISH, on_stall=on_stall))
    assert why == ""
    assert hands.done == done
    assert note.startswith("the migration stalls: for 5 s what is left has not become less: ")
    assert note.endswith(ends)
    found = steering.stalled
    assert found is not None
    assert found.action == on_stall.value
    assert found.lost_seconds > 0 or on_stall is not OnStall.THROTTLE


def test_a_stall_is_a_reason_to_cancel() -> None:
    steering, _, notes, why = stalled(replace(WISH, on_stall=OnStall.CANCEL))
    assert why.startswith("cancelled, as the migration stalls: for 5 s ")
    assert notes == []
    assert steering.stalled is not None


def test_what_the_guest_lost_is_the_share_of_each_second() -> None:
    steering = Steering(replace(WISH, on_stall=OnStall.THROTTLE), Hands(), lambda _: None)
    left, shares = 400, {12: 20, 13: 40, 14: 0}
    for second in range(16):
        sample = MigrationSample(
            float(second), "active", second + 1, 1 << 30, left * MIB, second * 400 * MIB,
            0, 0.0, None, None, throttle_percent=shares.get(second, 0),
        )  # fmt: skip
        steering.look(sample, None)
    assert steering.stalled == Stalled("throttle", 5.0, 400 * MIB, 0.6, 40)


def test_limits_are_told_as_they_change_and_less_of_what_is_under_way() -> None:
    hands = Hands()
    steering = Steering(WISH, hands, lambda _: None)
    guest = Simulated(512 * MIB, 400e6, lambda _: 800e6, 400 * MIB, most_seconds=60)
    for sample in guest.run():
        # 100 ms of the rate
        steering.look(sample, Delivered(sample.seconds, sample.carried_bytes - 40_000_000))
    assert steering.limit_ms == 300
    assert hands.limits == sorted(hands.limits)
    assert hands.limits[-1] == pytest.approx(200, abs=10)


def test_a_source_that_was_not_told_yet_is_told_the_first_limit() -> None:
    hands = Hands()
    steering = Steering(WISH, hands, lambda _: None, told=False)
    sample = MigrationSample(0.0, "active", 1, 1 << 30, 1 << 30, 0, 0, 0.0, None, None)
    steering.look(sample, None)
    steering.look(replace(sample, seconds=0.2), None)
    assert hands.limits == [30]
    assert steering.shown(sample).downtime_limit_ms == 30
