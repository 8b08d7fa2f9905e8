"""Whole migrations by figures: the documented table's order, and the policy beside every fixed
choice."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from policy_worlds import (
    BINARY,
    FAR,
    GBIT,
    NANO,
    NEAR,
    RANDOM,
    TEXT,
    ZEROS,
    Knowing,
    Zstd,
    always,
    then,
    world,
)
from ramferry.policy import NONE, Candidate, Figure, PageClass
from ramferry.policy.candidates import candidates
from ramferry.policy.rating import Link, rate
from ramferry.policy.simulated import Policy
from ramferry.policy.simulation import Fixed, Outcome, World, best_fixed, migrate

NOISE = 0.12
DEVICE = Candidate("qatzip", 1, device=True)


def compared(world: World, *, device: bool = False) -> tuple[float, float, Outcome]:
    """The policy's time over that of the best fixed choice and over that of none."""
    out = migrate(world, Policy(world, NOISE))
    coarse = replace(world, step=0.25)
    _, least = best_fixed(coarse, candidates(device=device))
    return out.seconds / least, out.seconds / migrate(coarse, Fixed(NONE)).seconds, out


def test_a_fixed_choice_takes_what_its_slowest_resource_takes() -> None:
    alone = world(8, memory=10e9, shares=always({TEXT: 1.0}), dirty_rate=0.0)
    out = migrate(alone, Fixed(NONE))
    assert out.seconds == pytest.approx(10.0)
    assert out.wire == pytest.approx(10e9)
    assert out.core_seconds == pytest.approx(10 * (0.357 + 0.675))


def test_a_guest_that_writes_is_sent_again_until_the_rest_fits() -> None:
    writing = world(8, memory=10e9, shares=always({TEXT: 1.0}), dirty_rate=100e6, hot=5e9)
    # rounds of 10 and 1 s, then 0.1 s of what is left while the guest stands still
    assert migrate(writing, Fixed(NONE)).seconds == pytest.approx(11.1, rel=0.01)
    never = replace(writing, dirty_rate=2e9)
    assert migrate(never, Fixed(NONE), longest=100).seconds == math.inf


def documented() -> World:
    """The table of QEMU's page on qatzip: 54 GiB of Silesia data, 8 channels, 10 Gbit/s.

    Ratios are those of its rows (throughput times time over 54 GiB), and so are core seconds a
    byte, less those of the row for none.
    """
    figures = {
        NONE: Figure(1.0, 0.0, 0.0),
        Zstd(1): Figure(1 / 2.68, 2.6 * NANO, 0.71 * NANO),
        DEVICE: Figure(1 / 2.66, 0.26 * NANO, 0.56 * NANO),
    }
    return world(
        10,
        memory=54 * 2**30,
        figures={kind: dict(figures) for kind in PageClass},
        near=replace(NEAR, cores=8.1),
        far=replace(FAR, cores=8),
    )


def test_the_documented_tables_order_comes_out() -> None:
    """qatzip 16.6 s, zstd 20.2 s, none 46.1 s."""
    qatzip, zstd, none = (
        migrate(documented(), Fixed(one)).seconds for one in (DEVICE, Zstd(1), NONE)
    )
    assert qatzip < zstd < none
    assert qatzip == pytest.approx(16.63, rel=0.06)
    assert zstd == pytest.approx(20.17, rel=0.06)
    assert none == pytest.approx(46.06, rel=0.06)
    auto = migrate(documented(), Policy(documented(), NOISE))
    assert auto.seconds <= 1.05 * qatzip
    # zstd for one class and a device for the other is as fast as the device for both
    assert any(one.device for one in auto.choices[-1].methods.values())


@pytest.mark.parametrize("device", [False, True], ids=["cores", "devices"])
@pytest.mark.parametrize("gbit", [10, 25, 40, 100])
def test_64_gb_and_16_cores(gbit: float, device: bool) -> None:
    """With figures that are a quarter off the table, and measurements off by an eighth.

    What ties and the dead band give away adds up to 7 % where luck is bad: a choice that is 5 %
    slower than the best is not left. So a world in a few may be over 1.05, and none over 1.07.
    """
    beside = []
    for seed in range(1, 5):
        beside_best, beside_none, out = compared(
            world(gbit, seed=seed, device=device), device=device
        )
        beside.append(beside_best)
        assert beside_none <= 1.02
        assert out.trial_seconds <= 0.015 * (out.core_seconds + out.trial_seconds)
    assert max(beside) <= 1.07
    assert sorted(beside)[2] <= 1.05


@pytest.mark.parametrize(
    ("gbit", "memory"), [(0.1, 1e9), (0.25, 2e9), (0.5, 2e9), (1, 4e9), (2.5, 8e9), (10, 8e9)]
)
@pytest.mark.parametrize("one_host", [True, False], ids=["one host", "two hosts"])
def test_two_cores(gbit: float, memory: float, one_host: bool) -> None:
    beside_best, beside_none, _ = compared(world(gbit, cores=2, memory=memory, one_host=one_host))
    assert beside_best <= (1.10 if gbit > 2.5 else 1.05)
    assert beside_none <= 1.02


@pytest.mark.parametrize("gbit", [0.25, 1, 10, 40, 100])
@pytest.mark.parametrize("cores", [2, 16])
def test_random_bytes_take_no_longer_than_with_none(gbit: float, cores: float) -> None:
    shares = {RANDOM: 1.0, ZEROS: 0.0, TEXT: 0.0, BINARY: 0.0}
    slow = world(gbit, cores=cores, memory=gbit * 2e9, shares=always(shares))
    beside_best, beside_none, out = compared(slow)
    assert beside_none <= 1.02
    assert beside_best <= 1.05
    assert all(set(choice.methods.values()) == {NONE} for choice in out.choices)


def halves(sent: float) -> dict[PageClass, float]:
    if sent < 0.5:
        return {ZEROS: 0.05, TEXT: 0.9, BINARY: 0.05, RANDOM: 0.0}
    return {ZEROS: 0.0, TEXT: 0.0, BINARY: 0.02, RANDOM: 0.98}


def each(seconds: float, *values: float) -> object:
    return lambda now: values[int(now / seconds) % len(values)]


SMALL = {"cores": 2, "one_host": True, "memory": 8e9}
CHANGING = {
    "1 Gbit/s, 200 Mbit/s, 1 Gbit/s": world(
        **SMALL, link=then((8, 1 * GBIT), (24, 0.2 * GBIT), last=1 * GBIT)
    ),
    "10 Gbit/s, then 100 Mbit/s": world(**SMALL, link=then((3, 10 * GBIT), last=0.1 * GBIT)),
    "text half, random half": world(1, **SMALL, shares=halves),
    "half the cores taken, 1 Gbit/s": world(1, **SMALL, taken=each(5, 0.0, 0.5)),
    "half the cores taken, 2.5 Gbit/s": world(2.5, **SMALL, taken=each(2, 0.0, 0.5)),
}


@pytest.mark.parametrize("scenario", CHANGING)
def test_changes_in_mid_migration(scenario: str) -> None:
    """Nine tenths of the best fixed choice where one that knows all at each moment reaches it with
    something to spare, and nowhere more than that choice."""
    changing = CHANGING[scenario]
    beside_best, beside_none, out = compared(changing)
    possible = beside_best * migrate(changing, Knowing(changing)).seconds / out.seconds
    assert beside_best <= (0.9 if possible < 0.8 else 1.03)
    assert beside_best <= possible + 0.06
    assert beside_none <= 1.02


def test_a_link_that_becomes_faster_is_noticed_within_seconds() -> None:
    faster = world(**SMALL | {"memory": 20e9}, link=then((20, 0.05 * GBIT), last=10 * GBIT))
    out = migrate(faster, Policy(faster, NOISE))
    late = next(one for one in out.choices if one.since > 20)
    assert late.since < 25
    settled = [one for one in out.choices if one.since < 27][-1]
    knowing = migrate(faster, Knowing(faster))
    assert out.seconds <= knowing.seconds + 4
    m = faster.at(27, 0.0)
    best = rate(m, Link(m.link), Knowing(replace(faster, link=always(10 * GBIT))).methods)
    assert rate(m, Link(m.link), settled.methods).rate >= 0.9 * best.rate


def test_changes_are_few_where_nothing_changes() -> None:
    calm = world(1, cores=4, memory=16e9)
    out = migrate(calm, Policy(calm, NOISE, seed=5))
    assert out.seconds > 40
    assert len(out.choices) <= 8
