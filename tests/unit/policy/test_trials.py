"""Which candidates are tried, and how much that may cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy_worlds import GBIT, MIXED, RANDOM, TEXT, Zstd, measured
from ramferry.policy import NONE, Candidate, Figure, Measurements, PageClass, decide
from ramferry.policy.candidates import levels_of
from ramferry.policy.expectations import YARDSTICK
from ramferry.policy.figures import Figures
from ramferry.policy.trials import (
    EXPLORED,
    INCOMPRESSIBLE,
    SHARE,
    START,
    STEP,
    Plan,
    Trial,
    allowance,
    next_trial,
    plan,
    sampled,
)
from ramferry.vocabulary import PACKET_BYTES

PLENTY = 1e9


def made(m: Measurements) -> Plan:
    return plan(m, replace(decide(m, 0.0, None), provisional=False))


def of(trials: tuple[Trial, ...]) -> set[Candidate]:
    return {one.candidate for one in trials}


def test_one_packet_in_64_after_more_at_the_beginning() -> None:
    assert sum(map(sampled, range(16))) == 8
    assert sum(map(sampled, range(256))) == 8 + (256 - 16) // 8
    assert sum(map(sampled, range(256, 256 + 100 * STEP))) == 100
    assert sampled(0)


def test_trials_have_a_part_of_the_pairs_time_and_something_to_begin_with() -> None:
    assert allowance(0.0, 0.0) == START
    assert allowance(START / SHARE, START) == pytest.approx(0.0)
    assert allowance(100.0, 0.6) == pytest.approx(100 * SHARE - 0.6)


def test_until_the_link_is_known_only_the_yardstick_is_tried() -> None:
    m = measured()
    found = plan(m, decide(m, 0.0, None))
    assert all(of(found.near[kind]) == {YARDSTICK} for kind in MIXED)
    assert not any(found.far.values())


def test_while_nothing_is_compressed_and_the_link_not_known_neither() -> None:
    m = measured()
    choice = replace(decide(m, 0.0, None), provisional=False)
    assert set(choice.methods.values()) == {NONE}
    assert all(of(plan(m, choice).near[kind]) == {YARDSTICK} for kind in MIXED)
    packs = replace(choice, methods={**choice.methods, TEXT: YARDSTICK})
    assert any(len(plan(m, packs).near[kind]) > 1 for kind in MIXED)


@pytest.mark.parametrize("method", ["qatzip", "zlib"])
def test_where_it_is_no_candidate_the_fastest_level_stands_in_for_it(method: str) -> None:
    figures = Figures(levels_of(method, device=False)).all()
    m = replace(measured(), figures={kind: figures[kind] for kind in MIXED})
    found = plan(m, decide(m, 0.0, None))
    assert all(of(found.near[kind]) == {Candidate(method, 1)} for kind in MIXED)


def test_what_is_in_use_is_near_and_none_is_never_tried() -> None:
    m = measured(10 * GBIT)
    choice, found = decide(m, 0.0, None), made(m)
    for kind, one in choice.methods.items():
        assert one == NONE or one in of(found.near[kind])
        assert NONE not in of(found.near[kind]) | of(found.far[kind])
        assert not of(found.near[kind]) & of(found.far[kind])


def test_what_could_not_gain_is_not_tried() -> None:
    fast = made(measured(100 * GBIT))
    slow = made(measured(0.01 * GBIT))
    hard = {Zstd(15), Zstd(19)}
    assert not hard & (of(fast.near[TEXT]) | of(fast.far[TEXT]))
    assert hard <= of(slow.near[TEXT]) | of(slow.far[TEXT])


def test_incompressible_pages_are_left_alone_once_that_is_known() -> None:
    m = measured(1 * GBIT, {RANDOM: 1.0})
    assert of(made(m).near[RANDOM])
    known = {one: replace(f, measured=8 * PACKET_BYTES) for one, f in m.figures[RANDOM].items()}
    found = made(replace(m, figures={**m.figures, RANDOM: known}))
    assert not found.near[RANDOM]
    assert found.far[RANDOM]
    assert next_trial(found, RANDOM, 0, START) is None
    assert next_trial(found, RANDOM, 0, START + 1.0) is not None


def test_a_class_is_hopeless_once_four_packets_of_it_did_not_shrink() -> None:
    m = measured(1 * GBIT, {RANDOM: 0.5, TEXT: 0.5})
    tried = replace(m.figures[RANDOM][Zstd(1)], measured=4 * PACKET_BYTES)
    assert tried.wire > INCOMPRESSIBLE

    def plan_of(figure: Figure) -> Plan:
        figures = {**m.figures[RANDOM], Zstd(1): figure}
        return made(replace(m, figures={**m.figures, RANDOM: figures}))

    assert not plan_of(replace(tried, measured=4 * PACKET_BYTES - 1)).hopeless
    assert not plan_of(replace(tried, wire=0.9)).hopeless
    assert set(plan_of(tried).hopeless) == {RANDOM}


def test_the_least_measured_comes_first() -> None:
    m = measured(1 * GBIT, {TEXT: 1.0})
    figures = dict(m.figures[TEXT])
    figures[Zstd(9)] = replace(figures[Zstd(9)], measured=7)
    first = made(replace(m, figures={**m.figures, TEXT: figures})).near[TEXT]
    assert first[-1].candidate == Zstd(9)


def simple() -> Plan:
    near = (Trial(Zstd(1), 0.001), Trial(Zstd(3), 0.003))
    return Plan({TEXT: near}, {TEXT: (Trial(Zstd(19), 0.2), Trial(Zstd(12), 0.02))})


def test_one_trial_in_ten_is_of_what_is_not_in_use() -> None:
    tried = [next_trial(simple(), TEXT, number, PLENTY) for number in range(200)]
    assert tried.count(Zstd(19)) == 200 / EXPLORED
    assert tried.count(Zstd(1)) + tried.count(Zstd(3)) == 200 - 200 / EXPLORED
    assert tried.count(Zstd(3)) >= 80


@pytest.mark.parametrize(
    ("number", "allowed", "tried"),
    [
        (EXPLORED - 1, 0.25, Zstd(19)),
        (EXPLORED - 1, 0.1, Zstd(12)),
        (EXPLORED - 1, 0.01, Zstd(3)),
        (0, 0.0012, None),
        (1, 0.002, Zstd(1)),
        (1, 0.0037, Zstd(1)),
        (1, 0.004, Zstd(3)),
        (0, -1.0, None),
    ],
)
def test_nothing_is_tried_that_costs_too_much(
    number: int, allowed: float, tried: Candidate | None
) -> None:
    assert next_trial(simple(), TEXT, number, allowed) == tried


def test_a_class_without_a_plan_is_not_tried() -> None:
    assert next_trial(Plan({}, {}), PageClass.BINARY, 0, PLENTY) is None
    m = measured(1 * GBIT)
    only = {kind: {NONE: Figure(1.0, 0.0, 0.0)} for kind in m.figures}
    assert next_trial(made(replace(m, figures=only)), TEXT, 0, PLENTY) is None
