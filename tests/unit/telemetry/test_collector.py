"""What Prometheus is told of a relay, in its own format; and its conventions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as strictly
from prometheus_client.parser import text_string_to_metric_families

from ramferry import __version__
from ramferry.metrics import ChannelCounters, RelayCounters, RelayResult
from ramferry.metrics.notes import of_migration, refusal, warning
from ramferry.metrics.states import CANCELLED, CARRYING, COMPLETED, FAILED, UNDECIDED
from ramferry.telemetry import table
from ramferry.telemetry.collector import RelayMetrics

COUNTERS = RelayCounters(
    seconds=12.0,
    bytes_in=5000,
    bytes_out=1000,
    packets=7,
    normal_pages=2,
    zero_pages=40,
    normal_bytes=8192,
    rounds=3,
    cpu_seconds=1.0,
    channels=(ChannelCounters("main", 10, 9), ChannelCounters("multifd 0", 4990, 991)),
    codec_seconds=0.25,
    digest_seconds=0.125,
    migration="0000000a",
    state=CARRYING,
    method_in="none",
    mark_seconds=0.5,
    channel_wait_seconds=0.75,
)
RESULT = RelayResult(
    True,
    "",
    0,
    "none",
    "zstd",
    1,
    "zstd",
    1,
    True,
    0,
    COUNTERS,
    outcome=COMPLETED,
    downtime_seconds=0.04,
)


@pytest.fixture
def metrics() -> RelayMetrics:
    return RelayMetrics("zstd")


def scraped(metrics: RelayMetrics) -> dict[str, float]:
    """Each sample as it is written, without its value, and that."""
    lines = generate_latest(metrics.registry).decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_a_migration_under_way_and_its_end(metrics: RelayMetrics) -> None:
    metrics.progress(COUNTERS)
    seen = scraped(metrics)
    assert seen['ramferry_migrations_under_way{state="carrying"}'] == 1
    assert seen['ramferry_migration_wire_bytes_total{direction="in",method="none"}'] == 5000
    assert seen['ramferry_migration_wire_bytes_total{direction="out",method="zstd"}'] == 1000
    channel = 'ramferry_connection_wire_bytes_total{channel="multifd 0",direction="out"}'
    assert seen[channel] == 991
    assert seen["ramferry_migration_page_bytes_total"] == 8192
    assert seen['ramferry_migration_pages_total{kind="normal"}'] == 2
    assert seen['ramferry_migration_pages_total{kind="zero"}'] == 40
    assert seen["ramferry_migration_packets_total"] == 7
    assert seen["ramferry_migration_compression_ratio"] == 8.192
    assert seen["ramferry_migration_sync_marks_total"] == 3
    assert seen['ramferry_migration_sync_wait_seconds_total{waiting="main"}'] == 0.5
    assert seen['ramferry_migration_sync_wait_seconds_total{waiting="channels"}'] == 0.75
    assert seen['ramferry_cpu_seconds_total{kind="codec"}'] == 0.25
    assert seen['ramferry_cpu_seconds_total{kind="digest"}'] == 0.125
    assert seen['ramferry_migrations_total{outcome="completed"}'] == 0
    metrics.finished(RESULT)
    seen = scraped(metrics)
    assert seen['ramferry_migrations_under_way{state="carrying"}'] == 0
    assert seen['ramferry_migrations_total{outcome="completed"}'] == 1
    assert seen['ramferry_backend_info{backend="zstd"}'] == 1
    assert seen['ramferry_migration_downtime_seconds_bucket{le="0.03"}'] == 0
    assert seen['ramferry_migration_downtime_seconds_bucket{le="0.1"}'] == 1
    assert seen['ramferry_migration_downtime_seconds_bucket{le="+Inf"}'] == 1
    assert seen["ramferry_migration_downtime_seconds_sum"] == 0.04
    assert seen["ramferry_migration_duration_seconds_count"] == 1
    assert seen[f'ramferry_build_info{{version="{__version__}"}}'] == 1


@pytest.mark.parametrize(
    ("outcome", "code", "name"),
    [
        (FAILED, 3, "PeerUnreachable"),
        (CANCELLED, 6, "Cancelled"),
        (UNDECIDED, 9, "PeerTimeout"),
        (FAILED, 7, "RemoteProtocolError"),
    ],
)
def test_one_that_did_not_complete(
    metrics: RelayMetrics, outcome: str, code: int, name: str
) -> None:
    metrics.finished(
        replace(RESULT, completed=False, exit_code=code, outcome=outcome, downtime_seconds=None)
    )
    seen = scraped(metrics)
    ends = {key: at for key, at in seen.items() if key.startswith("ramferry_migrations_total")}
    assert ends.pop(f'ramferry_migrations_total{{outcome="{outcome}"}}') == 1
    assert not any(ends.values())
    errors = {key: at for key, at in seen.items() if key.startswith("ramferry_migration_errors")}
    assert errors.pop(f'ramferry_migration_errors_total{{class="{name}"}}') == 1
    assert not any(errors.values())
    assert seen["ramferry_migration_downtime_seconds_count"] == 0
    assert seen["ramferry_migration_duration_seconds_count"] == 0


def test_refusals_are_counted_and_other_notes_are_not(metrics: RelayMetrics) -> None:
    metrics.note("listening")
    metrics.note(warning("the CPU took over"))
    metrics.note(refusal("refused a connection"))
    metrics.note(of_migration(refusal("refused a second multifd 3"), "a", "", CARRYING))
    assert scraped(metrics)["ramferry_connections_refused_total"] == 2


def test_cpu_is_shared_out_among_kinds(metrics: RelayMetrics) -> None:
    metrics.progress(replace(COUNTERS, codec_seconds=1e-6, digest_seconds=0.0))
    seen = scraped(metrics)
    kinds = ("codec", "digest", "system", "other")
    shares = [seen[f'ramferry_cpu_seconds_total{{kind="{kind}"}}'] for kind in kinds]
    # the process's own sum is read a moment later, in hundredths
    assert sum(shares) == pytest.approx(seen["process_cpu_seconds_total"], abs=0.5)
    assert min(shares[2:]) > 0
    metrics.progress(replace(COUNTERS, codec_seconds=1e9))
    assert scraped(metrics)['ramferry_cpu_seconds_total{kind="other"}'] >= shares[3]


def families(metrics: RelayMetrics) -> Iterator[tuple[str, str, str]]:
    text = generate_latest(metrics.registry).decode()
    for family in text_string_to_metric_families(text):
        yield family.name, family.type, family.documentation


def test_names_keep_prometheus_conventions(metrics: RelayMetrics) -> None:
    """Those that promtool checks, and that no two families get in each other's way."""
    for one in table.TABLE:
        assert re.fullmatch(r"ramferry(_[a-z]+)+", one.name), one
        assert one.name.endswith("_total") == (one.kind == table.COUNTER), one
        assert one.name.endswith("_info") == (one.kind == table.INFO), one
        assert one.help.endswith("."), one
        assert not re.search("milli|kilo|mega|percent|minutes|hours", one.name), one
        assert not {"le", "quantile", "instance", "job"} & set(one.labels), one
        inside = [label for label in one.labels if f"_{label}_" in one.name]
        assert not inside or one.kind == table.INFO, one
    names = [re.sub("_(total|info|bucket|sum|count)$", "", one.name) for one in table.TABLE]
    assert len(set(names)) == len(names)
    own = {name for name, _, _ in families(metrics) if name.startswith("ramferry")}
    assert own == {one.name.removesuffix("_total") for one in table.TABLE}


def test_the_openmetrics_format_is_whole(metrics: RelayMetrics) -> None:
    """Which Prometheus asks for first, and whose parser is the stricter one."""
    metrics.progress(COUNTERS)
    metrics.finished(RESULT)
    text = openmetrics.generate_latest(metrics.registry).decode()
    seen = [family.name for family in strictly(text)]
    assert len(seen) == len(set(seen))
    assert "ramferry_migration_wire_bytes" in seen
