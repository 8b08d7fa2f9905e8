"""bench.compare: interleaved runs, medians by column, quotients that admit their spread."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ramferry.bench.compare import (
    CASES,
    Case,
    compare,
    medians,
    quotient,
    relay_lines,
    results,
    send_cpu_seconds,
)
from ramferry.control.plan import RelayMode
from ramferry.errors import Cancelled
from ramferry.metrics import MigrationResult, RelayCounters, RelayResult
from ramferry.report.comparison import Run

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


def test_runs_are_interleaved_after_one_warm_up() -> None:
    order: list[tuple[int, str]] = []
    cases = CASES[:3]
    runs: dict[Case, list[Run]] = {case: [] for case in cases}
    compare(runs, 2, lambda _: Run(RUN), lambda number, case: order.append((number, case.name)))
    names = [case.name for case in cases]
    assert order == [(0, names[0]), *((1, name) for name in names), *((2, name) for name in names)]
    assert [len(runs[case]) for case in cases] == [2, 2, 2]
    assert [results(runs[case])[0].name for case in cases] == names


def test_what_ends_early_keeps_what_was_done() -> None:
    runs: dict[Case, list[Run]] = {case: [] for case in CASES[:2]}

    def begun(repetition: int, case: Case) -> None:
        if (repetition, case) == (2, CASES[0]):
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        compare(runs, 3, lambda _: Run(None, error="it broke"), begun)
    assert [len(done) for done in runs.values()] == [1, 1]
    assert results(runs[CASES[0]]) == []


def test_a_cases_name_says_who_compresses() -> None:
    assert Case("zlib", RelayMode.NONE).name == "zlib (QEMU)"
    assert Case("zlib", RelayMode.BOTH).name == "zlib (relay pair)"


def test_a_case_becomes_a_wish() -> None:
    wish = Case("zstd", RelayMode.BOTH, 3).wish(4, 1_000)
    assert (wish.method, wish.level, wish.channels) == ("zstd", 3, 4)
    assert (wish.max_bandwidth, wish.relay) == (1_000, RelayMode.BOTH)


def test_every_column_has_its_own_median() -> None:
    runs = [
        replace(RUN, total_ms=total, downtime_ms=down, send_cpu_percent=cpu)
        for total, down, cpu in ((900, 50, 100.0), (1000, 20, 300.0), (5000, 30, 200.0))
    ]
    middle = medians(runs)
    assert (middle.total_ms, middle.downtime_ms, middle.send_cpu_percent) == (1000, 30, 200.0)
    assert middle.recv_cpu_percent is None


def test_cpu_seconds_are_percent_of_the_total_time() -> None:
    assert send_cpu_seconds(RUN) == pytest.approx(1.5)
    assert send_cpu_seconds(replace(RUN, send_cpu_percent=None)) == 0


@pytest.mark.parametrize(
    ("ours", "significant"),
    [((400, 500, 600), True), ((900, 1000, 1200), False), ((1100, 1500, 1300), True)],
)
def test_a_quotient_is_significant_where_all_runs_agree(
    ours: tuple[int, ...], significant: bool
) -> None:
    over = [replace(RUN, total_ms=total) for total in ours]
    found = quotient("ours over theirs", over, [RUN] * 3, lambda one: one.total_ms)
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
