"""What is chosen, by which measurements: each sentence of the policy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from policy_worlds import BINARY, FAR, GBIT, NEAR, RANDOM, TEXT, ZEROS, Zstd, figures_of, measured
from ramferry.policy import NONE, Candidate, Choice, Host, Measurements, PageClass, decide
from ramferry.policy.deciding import INTERVAL, QUICK_INTERVAL, QUICK_SECONDS, STAY

HOST = Host(1.0)
ONLY_TEXT = {TEXT: 1.0}
FIGURES = figures_of(zstd_1=(0.5, 2, 1), zstd_9=(0.4, 20, 1))
OLD = 1000.0
"""A time at which each choice that was made at 0 has stayed long enough."""


def few(link: float = math.inf, **but: Any) -> Measurements:
    """Three candidates, one class that comes, a core at each end."""
    facts = {"figures": FIGURES, "near": HOST, "far": HOST, "shares": ONLY_TEXT}
    return measured(link, **(facts | but))


def text(choice: Choice) -> Candidate:
    return choice.methods[TEXT]


def together(*rates: float) -> float:
    """What stages reach together, each of which reaches so much alone."""
    return sum(rate**-6 for rate in rates) ** (-1 / 6)


@pytest.mark.parametrize(
    ("but", "chosen", "rates", "limited_by"),
    [
        # link / wire, near cores / encode, far cores / decode
        ({"link": 10e6}, Zstd(9), (25e6, 50e6, 1e9), "link"),
        ({"link": 22e6}, Zstd(9), (55e6, 50e6, 1e9), "near cores"),
        # 60 by the link for zstd 9, but no more than 50 by the cores
        ({"link": 30e6}, Zstd(1), (60e6, 500e6, 1e9), "link"),
        ({"link": 200e6}, Zstd(1), (400e6, 500e6, 1e9), "link"),
        ({"link": 300e6}, Zstd(1), (600e6, 500e6, 1e9), "near cores"),
        ({"link": 600e6}, NONE, (600e6,), "link"),
        ({"link": 24e6, "near": Host(4.0)}, Zstd(9), (60e6, 200e6, 1e9), "link"),
        (
            {"link": 300e6, "near": Host(8.0), "far": Host(0.5)},
            Zstd(1),
            (600e6, 4e9, 500e6),
            "far cores",
        ),
        ({"link": 300e6, "near": Host(8.0), "far": Host(0.2)}, NONE, (300e6,), "link"),
        ({"link": 300e6, "source_rate": 250e6}, NONE, (300e6, 250e6), "source"),
        # both ends on one core: 1/(2 + 1) ns
        ({"link": 300e6, "one_host": True}, Zstd(1), (600e6, 1e9 / 3, 1e9), "near cores"),
        # what a host takes besides its codecs
        (
            {"link": 200e6, "near": Host(1.0, 1e-9, 2e-9)},
            Zstd(1),
            (400e6, 250e6, 1e9),
            "near cores",
        ),
    ],
)
def test_the_choice_of_the_highest_rate(
    but: dict[str, Any], chosen: Candidate, rates: tuple[float, ...], limited_by: str
) -> None:
    choice = decide(few(**but), 0.0, None)
    assert (text(choice), choice.limited_by) == (chosen, limited_by)
    assert choice.rate == pytest.approx(together(*rates))
    assert choice.figures[TEXT] == FIGURES[TEXT][chosen]


def test_a_device_is_taken_up_to_its_rate() -> None:
    device = Candidate("qatzip", 1, device=True)
    m = measured(10 * GBIT, device=True, device_rate=10e9, near=replace(NEAR, cores=4))
    assert text(decide(m, 0.0, None)).device
    slow = decide(replace(m, device_rate=100e6), 0.0, None)
    assert not any(one.device for kind, one in slow.methods.items() if kind is not ZEROS)
    figures = {kind: {NONE: f[NONE], device: f[device]} for kind, f in m.figures.items()}
    half = decide(replace(m, figures=figures, shares=ONLY_TEXT, device_rate=2e9), 0.0, None)
    assert (text(half), half.limited_by, half.rate) == (
        device,
        "device",
        pytest.approx(2e9, rel=0.01),
    )


def test_each_class_has_its_own_and_the_incompressible_goes_as_it_is() -> None:
    choice = decide(measured(10 * GBIT), 0.0, None)
    assert choice.methods[RANDOM] == NONE
    assert NONE not in (choice.methods[TEXT], choice.methods[BINARY], choice.methods[ZEROS])
    assert choice.methods[ZEROS] != choice.methods[TEXT]


def test_cores_are_shared_among_classes_where_they_gain_most() -> None:
    """Cores for one class only: that which saves more of the link for them gets them."""
    figures = figures_of(zstd_1=(0.5, 4, 0))
    figures[BINARY] = dict(figures[BINARY]) | {Zstd(1): replace(figures[BINARY][Zstd(1)], wire=0.9)}
    shares = {TEXT: 0.5, BINARY: 0.5}
    choice = decide(few(330e6, figures=figures, shares=shares), 0.0, None)
    assert (choice.methods[TEXT], choice.methods[BINARY]) == (Zstd(1), NONE)


def test_ties_go_to_the_cheaper_then_to_none() -> None:
    figures = figures_of(zstd_1=(0.5, 2, 1), zstd_3=(0.495, 3, 1), zstd_6=(0.45, 8, 1))
    assert text(decide(few(10e6, figures=figures), 0.0, None)) == Zstd(6)
    del figures[TEXT][Zstd(6)]
    assert text(decide(few(10e6, figures=figures), 0.0, None)) == Zstd(1)
    equal = figures_of(zstd_1=(1.0, 0, 0))
    assert text(decide(few(10e6, figures=equal), 0.0, None)) == NONE


@pytest.mark.parametrize(("wire", "chosen"), [(0.96, NONE), (0.94, Zstd(1))])
def test_none_unless_the_gain_is_beyond_doubt(wire: float, chosen: Candidate) -> None:
    assert text(decide(few(10e6, figures=figures_of(zstd_1=(wire, 2, 1))), 0.0, None)) == chosen


@pytest.mark.parametrize("gbit", [0.1, 1, 10, 25, 100])
def test_incompressible_pages_go_as_they_are_on_every_link(gbit: float) -> None:
    m = measured(gbit * GBIT, {RANDOM: 1.0})
    assert decide(m, 0.0, None).methods[RANDOM] == NONE


def test_a_class_that_hardly_comes_is_decided_for_as_if_it_came_alone() -> None:
    m = measured(1 * GBIT, {RANDOM: 1.0, TEXT: 0.0})
    alone = measured(1 * GBIT, ONLY_TEXT)
    m = replace(m, shares={BINARY: 0.999, TEXT: 0.001})
    assert text(decide(m, 0.0, None)) == text(decide(alone, 0.0, None)) != NONE


# --- a link that was not blocked


def test_at_the_start_nothing_is_compressed_for_a_link_that_may_be_fast() -> None:
    first = decide(few(), 0.0, None)
    assert (text(first), first.provisional) == (NONE, True)
    slow = decide(few(30e6, link_known=False), 0.0, None)
    assert text(slow) == NONE


def test_what_is_provisional_is_replaced_at_once() -> None:
    first = decide(few(), 0.0, None)
    second = decide(few(10e6), 0.01, first)
    assert (text(second), second.since, second.provisional) == (Zstd(9), 0.01, False)
    assert text(decide(few(300e6), 0.02, second)) == Zstd(9)


def test_nothing_harder_is_chosen_while_the_link_is_not_known() -> None:
    last = decide(few(200e6), 0.0, None)
    assert text(last) == Zstd(1)
    assert text(decide(few(1e6, link_known=False), OLD, last)) == Zstd(1)


def test_a_link_that_is_not_blocked_is_tried_with_twice_as_much() -> None:
    last = decide(few(10e6), 0.0, None)
    assert text(last) == Zstd(9)
    # 50 MB/s by the cores, 20 MB/s on the wire: 40 MB/s at least are hoped for
    freed = decide(few(20e6, link_known=False), OLD, last)
    assert (text(freed), freed.rate) == (Zstd(1), pytest.approx(80e6, rel=0.001))


# --- when it changes


def ladder(gain: float) -> Measurements:
    """zstd 9 is faster than zstd 1 by ``gain``."""
    return few(10e6, figures=figures_of(zstd_1=(0.5, 2, 1), zstd_9=(0.5 / gain, 4, 1)))


LAST = replace(decide(few(200e6), 0.0, None), provisional=False)
"""zstd 1, since 0."""


@pytest.mark.parametrize(
    ("gain", "now", "changes"),
    [
        (1.02, OLD, False),
        (1.04, OLD, False),
        (1.06, OLD, True),
        (1.06, STAY - 0.1, False),
        (1.12, STAY - 0.1, True),
        (2.0, INTERVAL - 0.01, False),
        (2.0, INTERVAL, True),
    ],
)
def test_dead_band_and_stay(gain: float, now: float, changes: bool) -> None:
    assert text(LAST) == Zstd(1)
    choice = decide(ladder(gain), now, LAST)
    assert (text(choice) == Zstd(9)) is changes
    assert choice.since == (now if changes else 0.0)
    if not changes and gain > 1.03:
        assert choice.runner_up[TEXT] == Zstd(9)


def test_changes_are_quicker_at_the_beginning() -> None:
    m = replace(ladder(2.0), began=0.0)
    assert text(decide(m, QUICK_INTERVAL - 0.01, LAST)) == Zstd(1)
    assert text(decide(m, QUICK_INTERVAL, LAST)) == Zstd(9)
    late = replace(LAST, since=2.0)
    assert text(decide(m, 2.0 + QUICK_INTERVAL, late)) == Zstd(1)


def test_what_a_few_packets_told_need_not_stay() -> None:
    m = replace(ladder(1.06), began=0.0)
    assert text(decide(m, QUICK_SECONDS - 0.01, LAST)) == Zstd(9)
    assert text(decide(m, QUICK_SECONDS, LAST)) == Zstd(1)
    assert text(decide(replace(m, began=-1.0), QUICK_SECONDS - 0.01, LAST)) == Zstd(1)


def test_as_fast_and_a_fifth_cheaper_is_worth_a_change() -> None:
    dear = replace(LAST, methods=dict.fromkeys(PageClass, Zstd(9)))
    for encode, changes in ((3.5, True), (4.5, False)):
        figures = figures_of(zstd_1=(0.5, encode, 0), zstd_9=(0.5, 5, 0))
        assert (text(decide(few(10e6, figures=figures), OLD, dear)) == Zstd(1)) is changes


def test_a_candidate_that_is_gone_is_left_at_once() -> None:
    figures = figures_of(zstd_3=(0.5, 2, 1))
    choice = decide(few(10e6, figures=figures), 0.01, LAST)
    assert (text(choice), choice.since) == (Zstd(3), 0.01)


@pytest.mark.parametrize("last", [LAST, None])
def test_nothing_changes_near_the_switchover(last: Choice | None) -> None:
    choice = decide(replace(ladder(3.0), frozen=True), OLD, last)
    if last:
        assert choice is last
    else:
        assert set(choice.methods.values()) == {NONE}


def test_a_far_end_that_falls_behind_brakes_what_is_hard_to_inflate() -> None:
    figures = figures_of(zstd_1=(0.5, 1, 0.5), qatzip_1=(0.4, 1, 2.4))
    m = few(160e6, figures=figures)
    assert text(decide(m, 0.0, None)) == Candidate("qatzip", 1)
    assert text(decide(replace(m, far_behind=0.1), 0.0, None)) == Candidate("qatzip", 1)
    behind = decide(replace(m, far_behind=0.6), 0.0, None)
    assert text(behind) == Zstd(1)


# --- what is told


def test_the_reason_names_the_rate_the_limit_and_the_runner_up() -> None:
    assert decide(few(31e6), 0.0, None).reason == (
        "zstd 1: 62 MB/s, limited by the link (31 MB/s); zstd 9 49 MB/s"
    )
    assert decide(few(300e6), 0.0, None).reason == (
        "zstd 1: 476 MB/s, limited by the near cores (1.0); none 300 MB/s"
    )
    assert decide(few(), 0.0, None).reason == "none; zstd 1 499 MB/s"
    only = {kind: {NONE: figures[NONE]} for kind, figures in FIGURES.items()}
    alone = decide(few(10e6, figures=only), 0.0, None)
    assert alone.reason == "none: 10 MB/s, limited by the link (10 MB/s)"
    assert alone.runner_up == alone.methods
    split = decide(
        few(200e6, shares={TEXT: 0.6, RANDOM: 0.4}, figures=FIGURES | {RANDOM: only[RANDOM]}),
        0.0,
        None,
    )
    assert split.reason.startswith(
        "zstd 1 (text-like), none (incompressible): 286 MB/s, limited by"
    )


def test_a_choice_that_stays_is_told_with_its_newest_figures() -> None:
    figures = figures_of(zstd_1=(0.6, 2, 1))
    choice = decide(few(30e6, figures=figures), OLD, LAST)
    assert (choice.since, choice.rate) == (0.0, pytest.approx(50e6))
    assert choice.figures[TEXT].wire == 0.6


def test_hosts_without_a_core_left_still_have_a_choice() -> None:
    m = measured(1 * GBIT, near=replace(NEAR, cores=0.0), far=replace(FAR, cores=0.0))
    assert decide(m, 0.0, None).rate > 0
