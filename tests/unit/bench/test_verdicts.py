"""bench.verdicts: quotients that admit their spread, and what relays cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ramferry.bench.verdicts import quotient, relay_lines, send_cpu_seconds
from ramferry.metrics import MigrationResult, RelayCounters, RelayResult
from ramferry.report.comparison import BUILT_IN, RELAY_PAIR, CaseRuns, Run

RUN = MigrationResult(
    name="qatzip",
    method="qatzip",
    level=1,
    channels=8,
    route="relay pair",
    total_ms=1000,
    downtime_ms=30,
    mbps=800.0,
    pages_per_second=50_000.0,
    send_cpu_percent=150.0,
    recv_cpu_percent=None,
    wire_bytes=100_000_000,
    guest_bytes=330_000_000,
    ratio=3.3,
    backend="isa-l",
    iterations=3,
)


def case(route: str, *results: MigrationResult | None, method: str = "qatzip") -> CaseRuns:
    runs = tuple(Run(one, error="" if one else "failed") for one in results)
    return CaseRuns(f"{method} ({route})", method, 1, 8, route, runs)


def test_cpu_seconds_are_percent_of_the_total_time() -> None:
    assert send_cpu_seconds(RUN) == pytest.approx(1.5)
    assert send_cpu_seconds(replace(RUN, send_cpu_percent=None)) is None


def test_quotients_leave_out_failed_runs_and_admit_that_they_are_few() -> None:
    over = case(RELAY_PAIR, replace(RUN, total_ms=500), None, replace(RUN, total_ms=700))
    found = quotient("q", over, case(BUILT_IN, RUN, RUN, RUN), lambda one: one.total_ms)
    assert found is not None
    assert (found.low, found.high, found.count) == (0.5, 0.7, 2)
    assert str(found) == "q: 0.60 (0.50 to 0.70), not significant"
    unknown = quotient("q", over, over, lambda one: one.recv_cpu_percent)
    assert unknown is None


@pytest.mark.parametrize(
    ("ours", "significant"),
    [((400, 500, 600), True), ((900, 1000, 1200), False), ((1100, 1500, 1300), True)],
)
def test_a_quotient_is_significant_where_all_runs_agree(
    ours: tuple[int, ...], significant: bool
) -> None:
    over = case(RELAY_PAIR, *(replace(RUN, total_ms=total) for total in ours))
    theirs = case(BUILT_IN, *[RUN] * 3)
    found = quotient("ours over theirs", over, theirs, lambda one: one.total_ms)
    assert found is not None
    assert found.significant is significant
    assert ("not significant" in str(found)) is not significant
    assert found.low == min(ours) / 1000
    assert found.high == max(ours) / 1000


def test_relay_lines_show_pythons_share_and_the_most_memory() -> None:
    counters = RelayCounters(
        1.0, 10, 10, 1, 1, 0, 4096, 1, cpu_seconds=2.0, codec_seconds=1.4, system_seconds=0.4
    )
    relay = RelayResult(
        True, "", 0, "none", "qatzip", 1, "isa-l", 8, True, 50 << 20, counters, 40 << 20
    )
    smaller = replace(relay, max_pss_bytes=30 << 20)
    runs = [replace(RUN, relays=(relay, relay)), replace(RUN, relays=(smaller, smaller))]
    assert relay_lines(runs) == [
        "source relay: 10% of its CPU outside codecs and kernel, at most 40 MiB (PSS)",
        "destination relay: 10% of its CPU outside codecs and kernel, at most 40 MiB (PSS)",
    ]
    assert relay_lines([RUN]) == []
