"""Sums over migrations: of several at a time, of estimates that sink, of methods known late."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ramferry.metrics import ChannelCounters, RelayCounters, RelayResult
from ramferry.metrics.states import CARRYING, SWITCHOVER
from ramferry.telemetry import table
from ramferry.telemetry.sums import CODEC, MOST_CHANNELS, Sums, backends_of

NONE = RelayCounters(0.0, 0, 0, 0, 0, 0, 0, 0, 0.0, migration="a", method_in="none")
OUT = table.WIRE, ("out", "zstd")


def ended(counters: RelayCounters, backend: str = "isa-l") -> RelayResult:
    return RelayResult(True, "", 0, "none", "zstd", 1, backend, 1, True, 0, counters)


def wire_in(method: str) -> tuple[table.Metric, tuple[str, ...]]:
    return table.WIRE, ("in", method)


def test_migrations_at_a_time_and_one_after_another_add_up() -> None:
    sums = Sums("zstd")
    sums.progress(replace(NONE, bytes_out=10))
    sums.progress(replace(NONE, bytes_out=100, migration="b"))
    assert sums.totals()[OUT] == 110
    sums.progress(replace(NONE, bytes_out=15))
    sums.finished(ended(replace(NONE, bytes_out=20)))
    assert sums.totals()[OUT] == 120
    sums.finished(ended(replace(NONE, bytes_out=100, migration="b")))
    sums.progress(replace(NONE, bytes_out=5, migration="c"))
    assert sums.totals()[OUT] == 125


def test_a_migration_of_the_same_id_counts_anew() -> None:
    sums = Sums("zstd")
    for _ in range(3):
        sums.progress(replace(NONE, bytes_out=5))
        sums.totals()
        sums.finished(ended(replace(NONE, bytes_out=7)))
    assert sums.totals()[OUT] == 21


def test_all_of_the_outgoing_side_is_there_from_the_beginning() -> None:
    totals = Sums("qatzip").totals()
    assert totals[table.WIRE, ("out", "qatzip")] == 0
    assert totals[table.PACKETS, ()] == 0


def test_packets_of_several_methods_count_by_their_own() -> None:
    sums = Sums("auto")
    assert sums.totals()[table.WIRE, ("out", "qatzip")] == 0
    sums.progress(replace(NONE, bytes_out=100, wire_by_method={"zstd": 60, "none": 10}))
    sums.progress(replace(NONE, bytes_out=150, wire_by_method={"zstd": 90, "none": 10}))
    totals = sums.totals()
    assert totals[table.WIRE, ("out", "zstd")] == 90
    assert totals[table.WIRE, ("out", "none")] == 60  # headers and main as well
    assert ("out", "auto") not in {values for metric, values in totals if metric is table.WIRE}


def test_an_estimate_that_sinks_leaves_its_sum() -> None:
    sums, seen = Sums("zstd"), []
    for seconds in (2.0, 1.5, 2.25):
        sums.progress(replace(NONE, codec_seconds=seconds))
        seen.append(sums.totals()[CODEC])
    assert seen == [2.0, 2.0, 2.25]


def test_what_came_counts_once_its_method_is_known() -> None:
    sums = Sums("zstd")
    sums.progress(replace(NONE, bytes_in=10, method_in=""))
    assert not [key for key in sums.totals() if key[0] is table.WIRE and key[1][0] == "in"]
    sums.progress(replace(NONE, bytes_in=30, method_in="zlib"))
    assert sums.totals()[wire_in("zlib")] == 30
    sums.progress(replace(NONE, bytes_in=50, method_in="zlib, qatzip"))
    totals = sums.totals()
    assert (totals[wire_in("zlib")], totals[wire_in("mixed")]) == (30, 20)


def test_a_source_that_sent_no_packet_has_an_unknown_method() -> None:
    sums = Sums("zstd")
    sums.finished(ended(replace(NONE, bytes_in=10, method_in="")))
    assert sums.totals()[wire_in("unknown")] == 10


def test_channels_beyond_the_most_are_one() -> None:
    sums = Sums("zstd")
    many = tuple(ChannelCounters(f"made up {n}", bytes_in=1) for n in range(MOST_CHANNELS + 50))
    sums.progress(replace(NONE, channels=many))
    sums.progress(replace(NONE, channels=many, migration="b"))
    found = {key[1]: at for key, at in sums.totals().items() if key[0] is table.CHANNEL}
    assert len(found) == 2 * (MOST_CHANNELS + 1)
    assert found["in", "other"] == 100
    assert found["in", "made up 0"] == 2


def test_states_are_those_of_migrations_under_way() -> None:
    sums = Sums("zstd")
    sums.progress(replace(NONE, state=CARRYING))
    sums.progress(replace(NONE, state=SWITCHOVER, migration="b"))
    assert sums.states() == {"gathering": 0, "carrying": 1, "switchover": 1, "ending": 0}
    sums.finished(ended(NONE))
    sums.finished(ended(replace(NONE, migration="b")))
    assert not any(sums.states().values())


def test_the_ratio_is_of_those_under_way_else_of_the_last() -> None:
    sums = Sums("zstd")
    assert sums.ratio == 0
    sums.progress(replace(NONE, normal_bytes=300, bytes_out=100))
    sums.progress(replace(NONE, normal_bytes=100, bytes_out=100, migration="b"))
    assert sums.ratio == 2
    sums.finished(ended(replace(NONE, normal_bytes=300, bytes_out=100)))
    assert sums.ratio == 1
    sums.finished(ended(replace(NONE, normal_bytes=500, bytes_out=100, migration="b")))
    assert sums.ratio == 5


def test_backends_have_no_shares() -> None:
    assert backends_of("zstd → qat 93 % / isa-l 7 %") == ("zstd", "qat", "isa-l")
    assert backends_of("isa-l + libdeflate → isa-l") == ("isa-l", "libdeflate")
    assert backends_of("") == ()


reports = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(0, 1000),
        st.floats(0, 10),
        st.sampled_from(["", "zlib", "zlib, none"]),
        st.booleans(),
    )
)


@given(reports)
def test_no_sum_ever_falls(reports: list[tuple[str, int, float, str, bool]]) -> None:
    sums = Sums("zstd")
    before = sums.totals()
    for migration, count, seconds, method, last in reports:
        counters = replace(
            NONE,
            migration=migration,
            bytes_in=count,
            bytes_out=count,
            codec_seconds=seconds,
            method_in=method,
        )
        sums.progress(counters)
        if last:
            sums.finished(ended(counters))
        now = sums.totals()
        assert all(now[key] >= at for key, at in before.items())
        before = now
