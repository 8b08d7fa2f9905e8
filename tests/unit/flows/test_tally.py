"""Counters: sums over channels, and snapshots that later bytes do not change."""

from __future__ import annotations

import pytest

from ramferry.flows.session import footprint as memory
from ramferry.flows.session.tally import Tally


def test_a_snapshot_sums_up_its_channels() -> None:
    tally = Tally(page_size=4096)
    main, first, second = (tally.channel(name) for name in ("main", "multifd 0", "multifd 1"))
    main.bytes_in, main.bytes_out, main.syncs = 100, 100, 4
    first.bytes_in, first.bytes_out, first.packets, first.pages = 5000, 3000, 2, 200
    second.bytes_in, second.bytes_out, second.packets, second.pages = 700, 300, 1, 50
    second.zero_pages = 9
    counters = tally.snapshot(rounds=4)
    assert (counters.bytes_in, counters.bytes_out) == (5800, 3400)
    assert (counters.packets, counters.normal_pages, counters.zero_pages) == (3, 250, 9)
    assert counters.normal_bytes == 250 * 4096
    assert counters.ratio == pytest.approx(250 * 4096 / 3400)
    assert counters.rounds == 4
    assert [one.name for one in counters.channels] == ["main", "multifd 0", "multifd 1"]
    assert counters.channels[0].syncs == 4
    assert counters.seconds >= 0
    assert counters.cpu_seconds >= 0
    assert (tally.moved, tally.bytes_out) == (9200, 3400)


def test_a_snapshot_does_not_change() -> None:
    tally = Tally(page_size=4096)
    channel = tally.channel("main")
    before = tally.snapshot(0)
    channel.bytes_in += 1
    assert before.bytes_in == 0
    assert before.channels[0].bytes_in == 0
    assert tally.snapshot(0).bytes_in == 1
    assert before.ratio == 0


def test_this_process_holds_memory() -> None:
    assert 1 << 20 < memory.proportional() <= memory.peak_resident()
