"""The model of ``ramferry plan time``: each bound, the passes of a busy guest, the choice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ramferry.forecast import estimate as estimate_module
from ramferry.forecast.choice import choose, pick
from ramferry.forecast.costs import GIB, REFERENCE
from ramferry.forecast.estimate import Conditions, break_even, estimate
from ramferry.metrics.forecast import UNTOUCHED, MethodTime, Range, SampleSummary, Trial

MB = 1e6


def exactly(value: float) -> Range:
    return Range(value, value, value)


def sample(zero: float = 0.0, total: int = GIB) -> SampleSummary:
    return SampleSummary("qmp:x", total, total, 1, 4096, exactly(zero))


def trial(rate: float, ratio: float = 4.0, method: str = "zstd") -> Trial:
    """As fast back as there."""
    seconds = exactly(1 / rate)
    return Trial(method, 1, method, 9, exactly(1 / ratio), seconds, seconds, 1 / rate, 1 / rate)


def seconds(one: MethodTime) -> float:
    assert one.total_seconds is not None
    return one.total_seconds.expected


FAST = trial(1e12)
SLOW = trial(100 * MB)
ROOMY = Conditions(link_rate=50 * MB, cores=64)

SEND = REFERENCE.qemu_send + REFERENCE.relay_send
RECEIVE = REFERENCE.qemu_receive + REFERENCE.relay_receive
"""CPU seconds of each side for each byte, without codecs."""


def test_a_slow_link_decides_alone() -> None:
    wire = GIB * (1 + 1344 / 524288)
    none = estimate(UNTOUCHED, sample(), ROOMY)
    assert none.wire_bytes == round(wire)
    assert seconds(none) == pytest.approx(0.03 + wire / (50 * MB))
    assert none.limited_by == "link"
    quarter = estimate(FAST, sample(), ROOMY)
    assert quarter.wire_bytes == round(GIB * (0.25 + 1344 / 524288))
    assert seconds(quarter) == pytest.approx(0.03 + quarter.wire_bytes / (50 * MB))


def test_an_unlimited_link_leaves_the_cores() -> None:
    one = estimate(SLOW, sample(), Conditions(link_rate=0, cores=1))
    cpu = 1.10 / (100 * MB)
    assert one.limited_by == "destination's cores"
    assert seconds(one) == pytest.approx(0.03 + GIB * (RECEIVE + cpu) / 0.94)
    assert one.send_cpu_seconds == pytest.approx(GIB * (SEND + cpu))
    assert one.recv_cpu_seconds == pytest.approx(GIB * (RECEIVE + cpu))
    slow = replace(SLOW, compress_cpu=2 / (100 * MB), compress_seconds=exactly(2 / (100 * MB)))
    other = estimate(slow, sample(), Conditions(link_rate=0, cores=1))
    assert other.limited_by == "source's cores"
    assert seconds(other) == pytest.approx(0.03 + GIB * (SEND + 2 * cpu) / 0.94)


def test_on_one_host_both_sides_share_the_cores() -> None:
    apart = estimate(SLOW, sample(), Conditions(link_rate=0, cores=2))
    shared = estimate(SLOW, sample(), Conditions(link_rate=0, cores=2, one_host=True))
    assert shared.limited_by == "cores"
    share = (SEND + RECEIVE + 2.20 / (100 * MB)) / (RECEIVE + 1.10 / (100 * MB))
    assert seconds(shared) - 0.03 == pytest.approx(share * (seconds(apart) - 0.03))


def test_one_channel_is_one_thread() -> None:
    one = estimate(SLOW, sample(), Conditions(link_rate=0, cores=64, channels=1))
    assert one.limited_by == "channels"
    assert one.carried_rate == pytest.approx(1 / (REFERENCE.relay_send + 1.10 / (100 * MB)))


def test_the_interpreter_limits_methods_that_call_for_each_page() -> None:
    paged = estimate(trial(1e12, method="qpl"), sample(), Conditions(link_rate=0, cores=64))
    whole = estimate(FAST, sample(), Conditions(link_rate=0, cores=64, channels=64))
    assert paged.limited_by == whole.limited_by == "interpreter"
    assert whole.carried_rate == pytest.approx(1 / REFERENCE.interpreter)
    assert paged.carried_rate == pytest.approx(1 / (REFERENCE.interpreter + REFERENCE.pagewise))


@pytest.mark.parametrize(
    ("conditions", "limit", "per_byte"),
    [
        (Conditions(link_rate=0, cores=64), "channels", (REFERENCE.qemu_receive + 1.1e-8) / 8),
        (
            Conditions(link_rate=0, cores=1),
            "destination's cores",
            (REFERENCE.qemu_receive + 1.1e-8) / 0.94,
        ),
        (ROOMY, "link", (0.25 + 1344 / 524288) / (50 * MB)),
    ],
)
def test_two_qemus_alone_spend_nothing_on_relays(
    conditions: Conditions, limit: str, per_byte: float
) -> None:
    alone = replace(conditions, costs=REFERENCE.times(2).without_relays().times(0.5))
    one = estimate(SLOW, sample(), alone)
    assert one.limited_by == limit
    assert one.send_cpu_seconds == pytest.approx(GIB * (REFERENCE.qemu_send + 1.1e-8))
    assert one.recv_cpu_seconds == pytest.approx(GIB * (REFERENCE.qemu_receive + 1.1e-8))
    assert one.carried_rate == pytest.approx(1 / per_byte)


def test_zero_pages_take_records_and_a_look() -> None:
    half = estimate(UNTOUCHED, sample(zero=0.5), ROOMY)
    full = estimate(UNTOUCHED, sample(), ROOMY)
    assert half.wire_bytes == round(full.wire_bytes / 2) + GIB // 2 // 4096 * 9
    empty = estimate(UNTOUCHED, sample(zero=1.0), Conditions(link_rate=0, cores=2))
    assert seconds(empty) == pytest.approx(0.03 + GIB * REFERENCE.zero_seconds)


def test_a_busy_guest_takes_a_geometric_series_of_passes() -> None:
    idle = estimate(UNTOUCHED, sample(), ROOMY)
    busy = estimate(UNTOUCHED, sample(), replace(ROOMY, dirty_rate=25 * MB))
    assert idle.rounds == 1
    # halves until 300 ms of the link are left: 21.5 s / 2^7 = 0.17 s
    assert busy.rounds == 8
    passes = seconds(idle) * (2 - 2**-7)
    assert seconds(busy) == pytest.approx(passes, rel=0.01)
    assert busy.wire_bytes == pytest.approx(idle.wire_bytes * (2 - 2**-7), rel=0.01)


@pytest.mark.parametrize("rate", [50 * MB, 500 * MB])
def test_a_guest_that_dirties_faster_than_it_is_carried_never_leaves(rate: float) -> None:
    stuck = estimate(UNTOUCHED, sample(), replace(ROOMY, dirty_rate=rate))
    assert not stuck.converges
    assert stuck.total_seconds is stuck.downtime_ms is None
    assert estimate(FAST, sample(), replace(ROOMY, dirty_rate=50 * MB)).converges


def test_a_guest_that_writes_the_same_memory_leaves_no_more_than_that_behind() -> None:
    hot = 100 * 2**20
    busy = estimate(UNTOUCHED, sample(), replace(ROOMY, dirty_rate=25 * MB, dirty_bytes=hot))
    everywhere = estimate(UNTOUCHED, sample(), replace(ROOMY, dirty_rate=25 * MB))
    idle = estimate(UNTOUCHED, sample(), ROOMY)
    # 100 MiB, which take 2.1 s, in which 50 MiB are written again, and so on
    assert seconds(busy) - seconds(idle) == pytest.approx(2 * hot / (50 * MB), rel=0.1)
    assert seconds(busy) < seconds(everywhere)


def test_a_slower_host_takes_longer_where_it_is_the_limit() -> None:
    twice = REFERENCE.times(2)
    assert twice.qemu_receive == 2 * REFERENCE.qemu_receive
    narrow = Conditions(link_rate=0, cores=1)
    one, two = (
        estimate(UNTOUCHED, sample(), replace(narrow, costs=costs)) for costs in (REFERENCE, twice)
    )
    assert seconds(two) - 0.03 == pytest.approx(2 * (seconds(one) - 0.03))
    assert two.send_cpu_seconds == pytest.approx(2 * one.send_cpu_seconds)
    slow_link = estimate(UNTOUCHED, sample(), replace(ROOMY, costs=twice))
    assert seconds(slow_link) == seconds(estimate(UNTOUCHED, sample(), ROOMY))


def test_what_fits_the_downtime_limit_converges_at_any_rate() -> None:
    small = sample(total=8 << 20)
    assert estimate(UNTOUCHED, small, replace(ROOMY, dirty_rate=1e12)).converges


def test_an_idle_guest_stands_still_too_but_not_longer_than_it_takes() -> None:
    downtime = estimate(UNTOUCHED, sample(), ROOMY).downtime_ms
    assert downtime is not None
    assert (downtime.low, downtime.expected) == (150, pytest.approx(249))
    assert downtime.high == pytest.approx(400 + 8 * 524288 * (1 + 1344 / 524288) / 50e3)
    short = estimate(UNTOUCHED, sample(total=1 << 20), ROOMY).downtime_ms
    assert short is not None
    assert short.low == short.high == pytest.approx(30 + (1 << 20) / 50e3, rel=0.01)


def test_the_range_holds_the_spread_of_the_sample_and_the_models_own() -> None:
    unsure = replace(UNTOUCHED, wire_share=Range(0.9, 1.0, 1.1))
    total = estimate(unsure, sample(), ROOMY).total_seconds
    assert total is not None
    assert total.low == pytest.approx(total.expected * 0.9 * 0.97, rel=0.005)
    assert total.high == pytest.approx(total.expected * 1.1 * 1.03, rel=0.005)


def test_a_range_may_have_no_end() -> None:
    unsure = replace(UNTOUCHED, wire_share=Range(0.5, 1.0, 2.0))
    total = estimate(unsure, sample(), replace(ROOMY, dirty_rate=30 * MB)).total_seconds
    assert total is not None
    assert total.expected < total.high == float("inf")


def test_a_source_that_polls_takes_cores_from_the_others() -> None:
    calm = Conditions(link_rate=0, cores=2, one_host=True)
    polls = replace(calm, waits_busy=True)
    ratio = (seconds(estimate(SLOW, sample(), polls)) - 0.03) / (
        seconds(estimate(SLOW, sample(), calm)) - 0.03
    )
    assert ratio == pytest.approx(1.88 / (1.88 - 0.24))
    plain = estimate(UNTOUCHED, sample(), replace(ROOMY, waits_busy=True))
    assert plain.send_cpu_seconds == pytest.approx(GIB * SEND + 0.67 * seconds(plain))


def test_the_break_even_link_is_where_both_take_as_long() -> None:
    rate = break_even(SLOW, sample(), ROOMY)
    assert rate is not None
    at = replace(ROOMY, link_rate=rate)
    ours, none = (seconds(estimate(one, sample(), at)) for one in (SLOW, UNTOUCHED))
    assert ours == pytest.approx(none)
    for factor, better in ((0.9, True), (1.1, False)):
        at = replace(ROOMY, link_rate=rate * factor)
        ours, none = (seconds(estimate(one, sample(), at)) for one in (SLOW, UNTOUCHED))
        assert (ours < none) is better


def test_break_even_at_the_ends() -> None:
    assert break_even(trial(100 * MB, ratio=0.99), sample(), ROOMY) == 0
    assert break_even(FAST, sample(), replace(ROOMY, cores=1)) is not None
    assert break_even(UNTOUCHED, sample(), ROOMY) is None
    assert break_even(trial(1e30), sample(), ROOMY) is None


def chosen(trials: list[Trial], conditions: Conditions) -> tuple[str, str]:
    methods = [estimate(one, sample(), conditions) for one in trials]
    return choose(methods, conditions.dirty_rate)


def test_the_fastest_is_chosen() -> None:
    method, why = chosen([UNTOUCHED, FAST, SLOW], ROOMY)
    assert method == "zstd"
    assert (
        why == "zstd is fastest, limited by the link: 5.5 s expected, none takes 4.0 times as long"
    )


def test_among_the_levels_of_a_method_less_cpu_decides_too() -> None:
    levels = [replace(trial(rate * MB, ratio), level=level) for level, rate, ratio in LEVELS]
    found = pick([estimate(one, sample(), ROOMY) for one in (UNTOUCHED, *levels)])
    assert (found.method, found.level) == ("zstd", 3)


LEVELS = [(1, 500, 3.0), (3, 300, 3.5), (6, 100, 3.55)]
"""Level, MB/s and ratio."""


def test_among_equals_less_cpu_decides() -> None:
    cheap = trial(1000 * MB, ratio=3.95, method="qatzip")
    method, why = chosen([UNTOUCHED, trial(300 * MB), cheap], ROOMY)
    assert method == "qatzip"
    assert why.startswith("qatzip is as fast as zstd and takes less CPU: 5.5 s expected")


def test_none_is_chosen_where_the_cores_are_the_limit() -> None:
    method, why = chosen([UNTOUCHED, SLOW], Conditions(link_rate=0, cores=2))
    assert (method, "the link carries more than these cores can compress" in why) == ("none", True)
    _, why = chosen([UNTOUCHED, trial(100 * MB, ratio=0.99)], ROOMY)
    assert "do not get smaller by more than it costs" in why


@pytest.mark.parametrize(
    ("zero_share", "clause"),
    [(0.2, ""), (0.8, ", as 80% of the pages are zero"), (1, ", as nearly all of the pages are")],
)
def test_where_no_method_matters_none_is_chosen_and_nothing_else_said(
    zero_share: float, clause: str
) -> None:
    """A guest of mostly zero pages: the methods differ in what they do to the others only."""
    conditions = Conditions(link_rate=125 * MB, cores=2)
    guest = replace(sample(), zero_share=exactly(1 - 1e-6))
    methods = [estimate(one, guest, conditions) for one in (UNTOUCHED, FAST)]
    method, why = choose(methods, 0.0, zero_share)
    assert method == "none"
    assert why.startswith(
        f"no method is notably faster than none, which takes the least CPU{clause}"
    )


def test_a_method_that_makes_it_converge_says_so() -> None:
    method, why = chosen([UNTOUCHED, FAST], replace(ROOMY, dirty_rate=60 * MB))
    assert method == "zstd"
    assert why.endswith("where none would not converge")


def test_where_nothing_converges_nothing_is_chosen() -> None:
    method, why = chosen([UNTOUCHED, FAST], replace(ROOMY, dirty_rate=600 * MB))
    assert method == ""
    assert why == (
        "no method converges: the guest dirties 600 MB/s, and zstd, the fastest, carries 198 MB/s,"
        " limited by the link"
    )


def test_constants_are_what_was_measured() -> None:
    """Two cores of one host, 1 GiB of the Silesia corpus, QEMU 10.0, 2 channels: 1.78 to 1.88 s for
    qatzip, and 1.50 and 0.88 s in its codecs beside the other processes.
    """
    crowded = estimate_module.CROWDED
    there, back = 1.50 / crowded / GIB, 0.88 / crowded / GIB
    measured = Trial(
        "qatzip", 1, "isa-l", 126, exactly(0.285), exactly(there), exactly(back), there, back
    )
    conditions = Conditions(link_rate=0, cores=2, channels=2, one_host=True)
    one = estimate(measured, sample(), conditions)
    assert 1.75 < seconds(one) < 2.05
    assert estimate_module.BUSY < 1
