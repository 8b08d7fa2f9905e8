"""From QEMU's and the relays' words to the columns of the table."""

from dataclasses import replace
from typing import Any

import pytest

from ramferry.control.migrate.result import (
    Beside,
    Compressor,
    Cpu,
    compressor_of,
    result_of,
    sample_of,
    wire_bytes_of,
)
from ramferry.control.migrate.route import Route, Wish
from ramferry.control.qemu.probe import QemuFacts
from ramferry.metrics import RelayCounters, RelayResult
from ramferry.metrics.choosing import Choosing

OLD = QemuFacts((7, 2, 22), frozenset({"none"}), {}, {}, "running", "none", None, (1,))
NEW = replace(OLD, version=(10, 0, 2))
ROUTE = Route("relay pair", "unix:/d", "unix:/d", (), "none", "none")

INFO: dict[str, Any] = {
    "status": "completed",
    "total-time": 2000,
    "downtime": 40,
    "setup-time": 5,
    "expected-downtime": 300,
    "ram": {
        "total": 8 << 20,
        "remaining": 4096,
        "normal": 1000,
        "duplicate": 500,
        "page-size": 4096,
        "dirty-sync-count": 4,
        "dirty-pages-rate": 25,
        "transferred": 1_500_000,
    },
}


def counters(received: int, sent: int) -> RelayCounters:
    return RelayCounters(1.0, received, sent, 8, 1000, 0, 4_096_000, 4, 0.5)


def relay(backend: str) -> RelayResult:
    return RelayResult(
        True, "", 0, "none", "qatzip", 1, backend, 8, True, 1 << 20, counters(4_200_000, 1_000_000)
    )


@pytest.mark.parametrize(
    ("facts", "method", "near", "far", "wire"),
    [
        (OLD, "qatzip", counters(9, 1_000_000), counters(1_000_001, 9), 1_000_000),
        (OLD, "zlib", None, counters(1_000_001, 9), 1_000_001),
        (OLD, "none", None, None, 1_500_000),
        (OLD, "zlib", None, None, None),  # counted before compression
        (NEW, "zlib", None, None, 1_500_000),
    ],
)
def test_the_best_witness_counts_the_wire(
    facts: QemuFacts,
    method: str,
    near: RelayCounters | None,
    far: RelayCounters | None,
    wire: int | None,
) -> None:
    assert wire_bytes_of(INFO, facts, method, near, far) == wire


def test_result() -> None:
    row = result_of(
        INFO, ROUTE, Wish("qatzip"), Beside(1_000_000, Compressor("isa-l", 1), Cpu(55.0, None))
    )
    assert (row.total_time_ms, row.downtime_ms, row.setup_time_ms) == (2000, 40, 5)
    assert row.dirty_sync_count == 4
    assert row.mbps == pytest.approx(4.0)
    assert row.pages_per_second == pytest.approx(750.0)
    assert row.normal_bytes == 4_096_000
    assert row.ratio == pytest.approx(4.096)
    assert (row.send_cpu_percent, row.recv_cpu_percent) == (55.0, None)
    assert (row.name, row.level, row.backend, row.route) == ("qatzip", 1, "isa-l", "relay pair")


def test_uncounted_wire_bytes_claim_nothing() -> None:
    row = result_of(
        INFO, ROUTE, Wish("zlib"), Beside(None, Compressor("QEMU 7.2.22 zlib", 1), Cpu(1, 1))
    )
    assert (row.wire_bytes, row.mbps, row.ratio) == (None, None, None)


def test_who_compressed() -> None:
    assert compressor_of(relay("isa-l"), OLD, {}, "qatzip") == Compressor("isa-l", 1)
    assert compressor_of(None, OLD, {"multifd-zlib-level": 3}, "zlib") == Compressor(
        "QEMU 7.2.22 zlib", 3
    )
    assert compressor_of(None, OLD, {}, "none") == Compressor("QEMU 7.2.22", None)


@pytest.mark.parametrize("size", [65536, 524288, None])
def test_the_member_size_is_the_source_relays(size: int | None) -> None:
    sender = replace(relay("isa-l"), member_size=size)
    compressor = compressor_of(sender, OLD, {}, "qatzip")
    row = result_of(INFO, ROUTE, Wish("qatzip"), Beside(1, compressor, Cpu(None, None), (sender,)))
    assert (row.backend, row.member_size) == ("isa-l", size)


def test_sample() -> None:
    sample = sample_of(INFO, 1.5, 1_000_000)
    assert (sample.seconds, sample.status, sample.dirty_sync_count) == (1.5, "completed", 4)
    assert sample.carried_bytes == 1500 * 4096
    assert sample.normal_bytes == 1000 * 4096
    assert sample.dirty_rate == 25 * 4096
    assert (sample.remaining_bytes, sample.total_bytes) == (4096, 8 << 20)
    assert (sample.expected_downtime_ms, sample.wire_bytes) == (300, 1_000_000)


def test_a_sample_before_anything_moved() -> None:
    """QEMU answers {} before its migration thread has begun; 11.1 says 2^63 - 1 without a rate."""
    empty = sample_of({}, 0.0, None)
    assert (empty.status, empty.total_bytes, empty.expected_downtime_ms) == ("none", 0, None)
    endless = {**INFO, "expected-downtime": 2**63 - 1}
    assert sample_of(endless, 0.0, None).expected_downtime_ms is None


def test_without_a_dirty_rate_no_downtime_is_to_be_expected() -> None:
    """QEMU then tells its downtime-limit, and the built-in guest 0."""
    first = {**INFO, "ram": {**INFO["ram"], "dirty-pages-rate": 0}}
    assert sample_of(first, 0.0, None).expected_downtime_ms is None


def test_a_level_that_was_chosen_is_no_one_level() -> None:
    told = Choosing({"zstd 3": 1}, {"zstd": 1}, 0, 0, 0, 0)
    sender = replace(relay("zstd"), method_out="zstd", level=None, choosing=told)
    assert compressor_of(sender, OLD, {}, "zstd") == Compressor("zstd", None, None)
