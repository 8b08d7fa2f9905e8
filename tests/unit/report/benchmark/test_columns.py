"""Medians, spreads, significance, ratios: by numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comparisons import comparison, failed
from ramferry.report.benchmark.columns import (
    CPU_PER_GIB,
    DOCUMENTED_MEASURES,
    MEASURES,
    RATIO,
    TOTAL,
    WIRE,
    Spread,
    base_of,
    documented_ratios,
    doubt,
    quotient,
    significant,
    spread,
    spread_of,
)
from ramferry.report.benchmark.comparison import Run

GIB = 1 << 30


def test_spread_is_of_what_is_known() -> None:
    assert spread([3.0, None, 1.0, 8.0]) == Spread(3.0, 1.0, 8.0, 3)
    assert spread([1, 4]) == Spread(2.5, 1, 4, 2)
    assert spread([None]) is None


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        (Spread(2, 1, 3, 3), Spread(5, 3.1, 6, 3), ""),
        (Spread(5, 3.1, 6, 3), Spread(2, 1, 3, 3), ""),
        (Spread(2, 1, 3, 3), Spread(5, 3, 6, 3), "not significant"),
        (Spread(2, 1, 9, 3), Spread(5, 3, 6, 3), "not significant"),
        (Spread(2, 1, 3, 3), Spread(50, 31, 60, 2), "too few runs"),
        (Spread(2, 2, 2, 1), Spread(50, 50, 50, 1), "too few runs"),
    ],
)
def test_a_difference_must_exceed_the_spread(a: Spread, b: Spread, why: str) -> None:
    assert doubt(a, b) == why
    assert significant(a, b) is not bool(why)


def test_quotient_spans_what_the_spreads_allow() -> None:
    assert quotient(Spread(6, 4, 8, 3), Spread(2, 1, 4, 2)) == Spread(3, 1, 8, 2)
    assert quotient(Spread(6, 4, 8, 3), Spread(2, 0, 4, 3)) is None


def test_cpu_is_both_sides_per_gib_of_guest() -> None:
    run = comparison().cases[0].runs[0]
    run = replace(run, send_cpu_seconds=6.0, recv_cpu_seconds=2.0)
    assert CPU_PER_GIB.figure(run, 4 * GIB) == 2.0
    assert CPU_PER_GIB.figure(run, 0) is None
    assert CPU_PER_GIB.figure(replace(run, recv_cpu_seconds=None), 4 * GIB) is None


def test_a_failed_run_has_no_figures() -> None:
    run = Run(None, 1.0, 1.0, (), "the disk is full")
    assert [measure.figure(run, GIB) for measure in MEASURES] == [None] * len(MEASURES)


def test_wire_figures_are_unknown_where_nobody_counted() -> None:
    run = comparison().cases[0].runs[0]
    assert run.result is not None
    run = replace(run, result=replace(run.result, wire_bytes=None, mbps=None, ratio=None))
    assert (WIRE.figure(run, GIB), RATIO.figure(run, GIB)) == (None, None)
    assert TOTAL.figure(run, GIB) == comparison().cases[0].runs[0].result.total_time_ms  # type: ignore[union-attr]


def test_columns_are_in_the_order_of_the_documented_table() -> None:
    assert [one.key for one in DOCUMENTED_MEASURES] == [
        "total_time_ms", "downtime_ms", "mbps", "pages_per_second", "send_cpu_percent",
        "recv_cpu_percent",
    ]  # fmt: skip


def test_documented_figures_as_ratios() -> None:
    zstd = documented_ratios("zstd")
    assert zstd is not None
    assert [f"{one:.3f}" for one in zstd] == ["0.438", "0.600", "0.791", "7.242", "18.000", "4.000"]
    assert documented_ratios("none") == (1.0,) * 6
    assert documented_ratios("zlib") is None


def test_base_is_none_of_the_same_route_or_the_first() -> None:
    found = comparison()
    by_label = {case.label: case for case in found.cases}
    assert base_of(found, by_label["zstd 1 (relay pair)"]) is by_label["none (relay pair)"]
    assert base_of(found, by_label["qatzip 1 (native)"]) is by_label["none (QEMU built-in)"]
    assert base_of(replace(found, cases=found.cases[1:3]), found.cases[1]) is None
    tls = replace(by_label["none (relay pair)"], label="with TLS", tls=True)
    both = replace(found, cases=(*found.cases, tls))
    assert base_of(both, replace(by_label["zstd 1 (relay pair)"], tls=True)) is tls
    assert base_of(both, by_label["zstd 1 (relay pair)"]) is by_label["none (relay pair)"]


def test_a_base_without_results_is_none() -> None:
    found = comparison(repeats=2)
    broken = failed(replace(found, cases=(found.cases[1], found.cases[0])), "oh")
    only = replace(broken.cases[1], runs=broken.cases[1].runs[1:])
    assert base_of(replace(broken, cases=(broken.cases[0], only)), broken.cases[0]) is None


def test_spread_of_a_case() -> None:
    case = comparison().cases[0]
    times = sorted(result.total_time_ms for result in case.results)
    assert spread_of(case, TOTAL, GIB) == Spread(times[1], times[0], times[2], 3)
