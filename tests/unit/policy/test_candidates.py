"""The candidates that there are, and what is expected of them."""

from __future__ import annotations

import pytest

from policy_worlds import BINARY, RANDOM, TEXT, ZEROS, Zstd
from ramferry.policy import NONE, Candidate, PageClass
from ramferry.policy.candidates import LEVELS, candidates, levels_of, usable
from ramferry.policy.expectations import YARDSTICK, expected, factor


def test_only_what_the_far_end_inflates_is_usable() -> None:
    assert usable((), device=True) == (NONE,)
    assert [one.level for one in usable({"zstd"}, device=True)[1:]] == [
        -7, -5, -3, -1, 1, 3, 6, 9, 12, 15, 19,
    ]  # fmt: skip
    deflate = usable({"qatzip", "zlib"}, device=False)
    assert deflate == (NONE, *(Candidate("qatzip", level) for level in range(1, 10)))
    assert len(usable({"qatzip", "zstd"}, device=True)) == 1 + 11 + 9 + 9


def test_a_stream_of_one_method_has_its_levels() -> None:
    assert [str(one) for one in levels_of("zlib", device=True)] == [
        *("none", "zlib 1", "zlib 2", "zlib 3", "zlib 4", "zlib 5"),
        *("zlib 6", "zlib 7", "zlib 8", "zlib 9"),
    ]
    assert levels_of("zstd", device=True) == usable({"zstd"}, device=True)
    for device in (False, True):
        assert levels_of("qatzip", device=device) == usable({"qatzip"}, device=device)
    for method in LEVELS:
        every = levels_of(method, device=False)
        for figures in expected(every).values():
            assert tuple(figures) == every
            assert all(0 < one.wire <= 1.001 for one in figures.values())


def test_each_candidate_is_expected_something_of_in_each_class() -> None:
    every = candidates(device=True)
    for kind, figures in expected(every).items():
        assert tuple(figures) == every
        assert figures[NONE].wire == 1.0
        assert all(0 < one.wire <= 1.001 for one in figures.values()), kind
        assert not any(one.measured for one in figures.values())


def test_what_is_expected_is_as_codecs_are() -> None:
    figures = expected(candidates(device=True))
    for kind in (TEXT, BINARY):
        wires = [figures[kind][Zstd(level)].wire for level in (-7, -3, 1, 3, 9, 19)]
        costs = [figures[kind][Zstd(level)].encode for level in (-3, 1, 3, 9, 19)]
        assert wires == sorted(wires, reverse=True)
        assert costs == sorted(costs)
    for one in candidates(device=True)[1:]:
        assert figures[ZEROS][one].wire < figures[TEXT][one].wire < figures[BINARY][one].wire
        assert figures[RANDOM][one].wire == pytest.approx(1.0, abs=0.001)
        if one.device:
            on_cpu = figures[TEXT][Candidate(one.method, one.level)]
            assert figures[TEXT][one].encode < on_cpu.encode / 4


def test_costs_are_scaled_to_each_host() -> None:
    plain, scaled = expected([Zstd(3)]), expected([Zstd(3)], 2.0, 3.0)
    for kind in PageClass:
        one, other = plain[kind][Zstd(3)], scaled[kind][Zstd(3)]
        assert other.wire == one.wire
        assert other.encode == pytest.approx(2 * one.encode)
        assert other.decode == pytest.approx(3 * one.decode)
    slow = expected([YARDSTICK], 1.7)[TEXT][YARDSTICK]
    assert factor(TEXT, YARDSTICK, slow) == pytest.approx(1.7)
    assert factor(TEXT, NONE, slow) == 1.0
