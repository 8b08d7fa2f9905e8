"""bench.verdicts: cases over others, with their spread, and what relays cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from comparisons import comparison
from ramferry.bench.verdicts import digest_line, over, relay_lines, verdicts
from ramferry.metrics import MigrationResult, RelayCounters, RelayResult
from ramferry.metrics.agreement import Agreement
from ramferry.report.benchmark.comparison import BUILT_IN, CaseRuns, Run
from ramferry.vocabulary import RELAY_PAIR

RUN = MigrationResult(
    name="qatzip",
    method="qatzip",
    level=1,
    channels=8,
    route="relay pair",
    total_time_ms=1000,
    downtime_ms=30,
    mbps=800.0,
    pages_per_second=50_000.0,
    send_cpu_percent=150.0,
    recv_cpu_percent=None,
    wire_bytes=100_000_000,
    normal_bytes=330_000_000,
    ratio=3.3,
    backend="isa-l",
    dirty_sync_count=3,
)


def case(route: str, *results: MigrationResult | None, method: str = "qatzip") -> CaseRuns:
    runs = tuple(Run(one, error="" if one else "failed") for one in results)
    return CaseRuns(f"{method} ({route})", method, 1, 8, route, runs)


@pytest.mark.parametrize(
    ("totals", "said"),
    [
        ((400, 500, 600), "0.50 (0.40 to 0.60)"),
        ((900, 1000, 1200), "1.00 (0.90 to 1.20), not significant"),
        ((1100, 1500, 1300), "1.30 (1.10 to 1.50)"),
        ((500, None, 700), "0.60 (0.50 to 0.70), too few runs"),
    ],
)
def test_one_case_over_another_by_the_rule_of_every_table(
    totals: tuple[int | None, ...], said: str
) -> None:
    ours = case(RELAY_PAIR, *(total and replace(RUN, total_time_ms=total) for total in totals))
    assert over(ours, case(BUILT_IN, RUN, RUN, RUN)) == [
        f"qatzip (relay pair) over qatzip (QEMU built-in), total time: {said}"
    ]


def test_cpu_of_the_sending_side_is_compared_where_it_is_known() -> None:
    ours = case(RELAY_PAIR, *[RUN] * 3)
    ours = replace(ours, runs=tuple(replace(run, send_cpu_seconds=1.5) for run in ours.runs))
    theirs = case(BUILT_IN, *[RUN] * 3)
    assert len(over(ours, theirs)) == 1
    theirs = replace(theirs, runs=tuple(replace(run, send_cpu_seconds=3.0) for run in theirs.runs))
    assert over(ours, theirs)[1].endswith(", send CPU seconds: 0.50 (0.50 to 0.50)")
    assert over(ours, case(BUILT_IN, None)) == []


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


def test_digest_line_shows_what_both_relays_spend_on_digests() -> None:
    counters = RelayCounters(1.0, 10, 10, 1, 1, 0, 4096, 1, cpu_seconds=2.0, digest_seconds=0.05)
    agreed = Agreement("0.1.0", 1, "xxh3-128", "packet", True, True)
    relay = RelayResult(True, "", 0, "none", "zstd", 1, "zstd", 8, True, 0, counters)
    source, dearer = replace(relay, agreed_out=agreed), replace(counters, digest_seconds=0.15)
    runs = [
        replace(RUN, relays=(source, relay)),
        replace(RUN, relays=(source, replace(relay, counters=dearer))),
        RUN,
    ]
    assert digest_line(runs) == ["digests of every packet: 3.8% of the CPU of both relays"]
    without = replace(source, agreed_out=replace(agreed, digest=""))
    assert digest_line([replace(RUN, relays=(without, relay))]) == []
    assert digest_line([replace(RUN, relays=(relay, relay))]) == []


def test_tls_is_set_beside_none_and_that_of_a_pair_beside_qemus() -> None:
    clear = [case(route, *[RUN] * 3, method="zstd") for route in (BUILT_IN, RELAY_PAIR)]
    tls = [replace(one, tls=True, label=f"{one.label} in TLS") for one in clear]
    other = replace(tls[0], method="none", label="another method")
    found = verdicts(replace(comparison(), cases=(*clear, *tls, other)))
    assert [line.partition(", total")[0] for line in found] == [
        "zstd (QEMU built-in) in TLS over zstd (QEMU built-in)",
        "zstd (relay pair) in TLS over zstd (relay pair)",
        "zstd (relay pair) in TLS over zstd (QEMU built-in) in TLS",
    ]
