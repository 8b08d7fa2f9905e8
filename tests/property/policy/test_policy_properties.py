"""The search finds what trying everything finds; a class is one of four for any bytes."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_worlds import GBIT
from ramferry.policy import NONE, Candidate, Choice, Figure, Host, Measurements, PageClass, decide
from ramferry.policy.classes import classify
from ramferry.policy.deciding import GAIN
from ramferry.policy.rating import Link, everywhere, rate
from ramferry.policy.searching import TIED, search

numbers = st.floats(0.01, 1.0)
costs = st.floats(0.0, 100e-9)
NAMES = [Candidate("zstd", 1), Candidate("zstd", 9), Candidate("qatzip", 1, device=True)]


@st.composite
def measurements(draw: st.DrawFn) -> Measurements:
    def figure() -> Figure:
        return Figure(draw(st.floats(0.02, 1.1)), draw(costs), draw(costs))

    kinds = draw(st.lists(st.sampled_from(PageClass), min_size=1, unique=True))
    hosts = st.builds(Host, st.floats(0, 64), st.floats(0, 3e-9), st.floats(0, 3e-9))
    return Measurements(
        shares={kind: draw(numbers) for kind in kinds},
        figures={
            kind: {NONE: Figure(1.0, 0.0, 0.0)} | {one: figure() for one in NAMES} for kind in kinds
        },
        near=draw(hosts),
        far=draw(hosts),
        one_host=draw(st.booleans()),
        link=draw(st.floats(0.01, 400)) * GBIT,
        link_known=draw(st.booleans()),
        device_rate=draw(st.floats(0.1, 400)) * GBIT,
        source_rate=draw(st.sampled_from([math.inf, 1e9])),
        far_behind=draw(st.floats(0, 2)),
    )


@given(measurements())
def test_no_combination_is_faster_or_as_fast_and_cheaper(m: Measurements) -> None:
    link = Link(m.link)
    kinds = list(m.figures)
    every = [
        rate(m, link, dict(zip(kinds, methods, strict=True)))
        for methods in itertools.product([NONE, *NAMES], repeat=len(kinds))
    ]
    most = max(one.rate for one in every)
    cheapest = min(one.cost for one in every if one.rate >= TIED * most * 1.000001)
    best, other = search(m, link)
    assert best.rating.rate >= TIED * most * 0.999999
    assert best.rating.cost <= cheapest * 1.000001
    again = rate(m, link, best.methods)
    assert (again.rate, again.cost) == pytest.approx((best.rating.rate, best.rating.cost))
    assert other.rating.rate <= most * 1.000001


@given(measurements(), st.floats(0, 10))
def test_a_choice_is_never_slower_than_none_by_what_is_known(m: Measurements, now: float) -> None:
    choice = decide(m, now, None)
    link = Link(m.link if m.link_known else math.inf)
    none = rate(m, link, everywhere(m))
    assert set(choice.methods) == set(m.figures)
    assert choice.rate >= none.rate * 0.999999
    if any(one != NONE for one in choice.methods.values()):
        assert choice.rate >= GAIN * none.rate * 0.999999


@given(measurements(), measurements(), st.floats(0, 10))
def test_decisions_come_to_rest(m: Measurements, before: Measurements, now: float) -> None:
    """With measurements that stay, a second change follows a first one only while the link is
    not known."""
    last = decide(before, 0.0, None)
    choices: list[Choice] = [last]
    for at in range(1, 8):
        choices.append(decide(m, now + 10.0 * at, choices[-1]))
    methods = [one.methods for one in choices]
    if m.link_known:
        assert methods[1:] == [methods[1]] * 7


@given(st.binary(min_size=1, max_size=20000))
def test_any_bytes_have_a_class(data: bytes) -> None:
    kind = classify(memoryview(data))
    assert kind in PageClass
    assert classify(memoryview(bytearray(data))) is kind
