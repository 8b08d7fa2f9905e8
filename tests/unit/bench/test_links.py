"""What ``ramferry bench links`` plans: rates, contenders, memory, and what changes when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ramferry.bench.change import Change
from ramferry.bench.links import GBIT, RATES, Asked, choices, memory_for, plan
from ramferry.bench.scenario import labels
from ramferry.errors import UsageError

ALL = ("none", "zlib", "zstd", "qpl", "uadk", "qatzip")


def test_every_rate_has_the_contenders_of_its_speed() -> None:
    scenarios = plan(Asked(), cores=2)
    assert [one.rate for one in scenarios] == list(RATES)
    assert [one.name for one in scenarios][:4] == [
        "links-100Mbit", "links-250Mbit", "links-500Mbit", "links-1Gbit",
    ]  # fmt: skip
    assert len({one.title for one in scenarios}) == len(scenarios)
    for scenario in scenarios:
        found = labels(scenario.cases)
        assert found[:2] == ("none (relay pair)", "auto (relay pair)")
        assert "none (QEMU built-in)" in found
        assert not any("auto" in label for label in found[2:])
    slow, fast = labels(scenarios[0].cases), labels(scenarios[-1].cases)
    assert "zstd 12 (relay pair)" in slow
    assert "zstd 12 (QEMU built-in)" in slow
    assert "zstd 1 (relay pair)" in fast
    assert "zstd 6 (relay pair)" not in fast


def test_a_host_of_many_cores_tries_higher_levels() -> None:
    few, many = (
        {case.level for case in plan(Asked((GBIT,)), cores)[0].cases if case.method == "zstd"}
        for cores in (2, 16)
    )
    assert max(few) == 6
    assert max(many) == 15


def test_contenders_are_those_that_are_named() -> None:
    asked = Asked((GBIT,), fixed=(("zstd", 3),), built_in=())
    (scenario,) = plan(asked, cores=2)
    assert labels(scenario.cases) == (
        "none (relay pair)", "auto (relay pair)", "zstd 3 (relay pair)",
    )  # fmt: skip
    again = replace(asked, fixed=(("none", None), ("zstd", 3)))
    assert plan(again, cores=2)[0].cases == scenario.cases


@pytest.mark.parametrize("rate", RATES)
def test_memory_grows_with_the_rate(rate: float) -> None:
    size = memory_for(rate)
    assert size & (size - 1) == 0
    assert size == 16 << 30 or 10 < size / rate < 25
    assert memory_for(1000) == 64 << 20
    (scenario,) = plan(Asked((rate,)), cores=2)
    assert (scenario.guest.memory, scenario.guest.scalable) == (size, True)
    (scenario,) = plan(Asked((rate,), memory=256 << 20), cores=2)
    assert (scenario.guest.memory, scenario.guest.scalable) == (256 << 20, False)


def test_a_link_that_falls_and_rises() -> None:
    (scenario,) = plan(Asked(change="link"), cores=2)
    change = scenario.change
    assert scenario.rate == GBIT
    assert change is not None
    assert change.end is not None
    assert change.rate == pytest.approx(GBIT / 5)
    # a third of what is sent before it; a third in it, five times as slowly
    assert change.begin == pytest.approx((2 << 30) / 9 / GBIT, abs=0.1)
    assert (change.end - change.begin) / change.begin == pytest.approx(5, rel=0.05)
    words = f"the link carries 200 Mbit/s in place of 1 Gbit/s from {change.begin:g} s to "
    assert change.words(scenario.rate) == f"{words}{change.end:g} s"
    levels = {case.level for case in scenario.cases if case.method == "zstd"}
    assert {1, 9} <= levels


def test_moments_and_rates_as_asked() -> None:
    asked = Asked((GBIT,), change="link", change_at=(4.0,), change_rate=5e6)
    assert plan(asked, cores=2)[0].change == Change(4.0, None, rate=5e6)
    asked = Asked((GBIT,), change="load", change_at=(1.0, 2.5))
    assert plan(asked, cores=5)[0].change == Change(1.0, 2.5, cores=2)
    assert plan(asked, cores=1)[0].change == Change(1.0, 2.5, cores=1)
    assert Change(1.0, None, cores=2).words(GBIT) == "other work takes 2 cores from 1 s on"


def test_content_that_differs() -> None:
    (scenario,) = plan(Asked(change="content"), cores=2)
    assert (scenario.guest.random_share, scenario.change) == (0.5, None)
    (scenario,) = plan(Asked((GBIT,), random_share=1.0), cores=2)
    assert scenario.guest.random_share == 1.0


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (Asked((10.0,)), "--rates must be 1000 bytes"),
        (Asked(memory=1 << 20), "--memory must be 64M"),
        (Asked(change_at=(1.0,)), "--change-at is for --change link and"),
        (Asked(change="content", change_at=(1.0,)), "--change-at is for --change link and"),
        (Asked(change="load", change_rate=1e6), "--change-rate is for --change link"),
        (Asked(change="link", change_rate=10.0), "--change-rate must be 1000 bytes"),
        (Asked(change="link", change_at=(2.0, 1.0)), "the earlier one first"),
        (Asked(change="link", change_at=(1.0, 2.0, 3.0)), "one or two moments"),
    ],
)
def test_what_does_not_go_together_is_refused(asked: Asked, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        plan(asked, cores=2)


def test_choices_are_read() -> None:
    assert choices("zstd:3, qatzip,none", ALL, "--fixed") == (
        ("zstd", 3), ("qatzip", 1), ("none", None),
    )  # fmt: skip
    assert choices("", ALL, "--built-in") == ()
    every = choices("all", ("none", "zstd", "qatzip"), "--fixed")
    assert every[0] == ("none", None)
    assert len(every) == 1 + 20 + 9
    for text, sentence in (
        ("lzo:1", "--fixed: 'lzo:1' is no METHOD:LEVEL with a method of none, zlib"),
        ("zstd:x", "--fixed: 'zstd:x' is no METHOD"),
        ("zstd:99", "--fixed: method zstd has levels 0 to 20"),
        ("none:1", "--fixed: method none has no levels"),
    ):
        with pytest.raises(UsageError, match=sentence):
            choices(text, ALL, "--fixed")
