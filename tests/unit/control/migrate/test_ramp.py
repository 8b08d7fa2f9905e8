"""How long a guest may stand still: little at first, more only where that is of use."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ramferry.control.migrate.ramp import Ramp, first_limit, steps
from ramferry.control.migrate.rounds import Rounds
from ramferry.forecast.eta import MigrationSample
from simulated_migration import MIB, Simulated

AT_250_MBIT = 30e6
FAST = 400e6


@pytest.mark.parametrize(
    ("wish", "wanted"),
    [
        (300, (30, 48, 75, 119, 189, 300)),
        (1000, (100, 158, 251, 398, 631, 1000)),
        (100, (20, 28, 38, 53, 72, 100)),
        (21, (20, 21)),
        (20, (20,)),
        (1, (1,)),
    ],
)
def test_steps(wish: int, wanted: tuple[int, ...]) -> None:
    assert steps(wish) == wanted
    assert first_limit(wish) == wanted[0]


def test_what_is_under_way_is_taken_off_but_never_all_of_it() -> None:
    ramp = Ramp(300)
    assert [ramp.told_ms(flight) for flight in (0, 20, 500)] == [30, 30, 30]
    full = Ramp(20)
    assert full.full
    assert full.told_ms(500) == 20


def ramped(guest: Simulated, wish: int = 300, flight_ms: float = 0) -> Ramp:
    """The guest moves with the ramp.

    :param flight_ms: what is under way, as the ramp is told it.
    """
    ramp, rounds = Ramp(wish), Rounds()
    guest.set_limit(ramp.told_ms(flight_ms))
    for sample in guest.run():
        rounds.take(sample)
        ramp.look(sample, rounds, flight_ms)
        if ramp.told_ms(flight_ms) != guest.limit_ms:
            guest.set_limit(ramp.told_ms(flight_ms))
    return ramp


def at_once(guest: Simulated, wish: int = 300) -> Simulated:
    """The same guest with the whole wish from the beginning."""
    plain = replace(guest, limit_ms=wish, limits=[])
    for _ in plain.run():
        pass
    return plain


def test_an_idle_guest_stands_still_for_the_first_limit_at_most() -> None:
    guest = Simulated(1024 * MIB, FAST)
    plain = at_once(guest)
    ramp = ramped(guest)
    assert guest.downtime_ms is not None
    assert guest.downtime_ms <= 30
    assert plain.downtime_ms is not None
    assert plain.downtime_ms > 250
    assert guest.total_seconds <= plain.total_seconds * 1.01
    assert ramp.step_ms == 30


@pytest.mark.parametrize("rate", [AT_250_MBIT, FAST])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_a_guest_that_converges_takes_hardly_longer(rate: float, share: float) -> None:
    guest = Simulated(1024 * MIB, rate, lambda _: share * rate, 512 * MIB)
    plain = at_once(guest)
    ramped(guest)
    assert guest.total_seconds <= plain.total_seconds * 1.05
    assert guest.downtime_ms is not None
    assert plain.downtime_ms is not None
    assert guest.downtime_ms <= plain.downtime_ms


@pytest.mark.parametrize("milliseconds", [60, 130, 200, 280])
def test_a_guest_that_only_the_wish_lets_go_takes_hardly_longer(milliseconds: int) -> None:
    """It writes a small working set faster than the link carries."""
    hot = AT_250_MBIT * milliseconds / 1000
    guest = Simulated(512 * MIB, AT_250_MBIT, lambda _: 10 * AT_250_MBIT, hot)
    plain = at_once(guest)
    ramp = ramped(guest)
    assert guest.total_seconds <= plain.total_seconds * 1.05
    assert guest.downtime_ms is not None
    assert milliseconds * 0.9 <= guest.downtime_ms <= ramp.step_ms


def test_what_shrinks_slowly_is_waited_for() -> None:
    """The guest writes less and less: as long as that is seen, nothing is raised."""
    guest = Simulated(512 * MIB, FAST, lambda now: max(0.0, FAST * (1.2 - now / 30)), 300 * MIB)
    ramped(guest)
    assert guest.limits[0] == (0.0, 30)
    assert guest.downtime_ms is not None
    assert guest.downtime_ms <= 300


def test_what_never_shrinks_gets_the_wish_in_steps_and_no_more() -> None:
    guest = Simulated(512 * MIB, FAST, lambda _: 2 * FAST, 400 * MIB, most_seconds=60)
    ramp = ramped(guest)
    assert guest.downtime_ms is None
    assert [limit for _, limit in guest.limits] == list(steps(300))
    assert ramp.full


def test_one_round_that_is_no_smaller_raises_nothing() -> None:
    """The least of a window counts: here every other round is a large one."""
    ramp, rounds = Ramp(300), Rounds()
    left = [400, 300, 320, 280, 310, 260, 290, 240, 270, 220]
    for at, size in enumerate(left):
        sample = MigrationSample(
            2.0 * at,
            "active",
            at + 1,
            1 << 30,
            size * MIB,
            sum(left[:at]) * MIB,
            0,
            0.0,
            None,
            None,
        )
        rounds.take(sample)
        ramp.look(sample, rounds, 0)
    assert ramp.step_ms == 30


def test_what_is_under_way_does_not_keep_a_guest_that_fits_without_it() -> None:
    hot = AT_250_MBIT * 0.2
    guest = Simulated(512 * MIB, AT_250_MBIT, lambda _: 10 * AT_250_MBIT, hot)
    plain = at_once(guest)
    ramped(guest, flight_ms=150)
    assert guest.limits[-1][1] == 225
    assert guest.total_seconds <= plain.total_seconds * 1.1


def test_what_is_under_way_is_taken_off_as_long_as_less_is_left_each_time() -> None:
    guest = Simulated(1024 * MIB, AT_250_MBIT, lambda _: 0.9 * AT_250_MBIT, 512 * MIB)
    ramped(guest, flight_ms=150)
    assert max(limit for _, limit in guest.limits) <= 150
