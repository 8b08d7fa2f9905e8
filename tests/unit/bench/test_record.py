"""A run as the document keeps it: whole, failed, or not at all."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from test_compare import RUN

from ramferry.bench.record import recorded
from ramferry.control.hooks import Hooks
from ramferry.control.plan import Wish
from ramferry.errors import Cancelled, MigrationFailed, RamferryError
from ramferry.metrics import MigrationResult
from ramferry.report.forecast import Sample

SAMPLE = Sample(0.5, "active", 1, 1 << 20, 4096, 8192, 4096, 0.0, None, 777)


class Rig:
    def __init__(self, end: MigrationResult | RamferryError) -> None:
        self._end = end

    def carry(self, wish: Wish, hooks: Hooks) -> MigrationResult:
        assert wish.method == "qatzip"
        hooks.on_sample(replace(SAMPLE, status="setup", remaining_bytes=0))
        hooks.on_sample(SAMPLE)
        if isinstance(self._end, RamferryError):
            raise self._end
        return self._end


def run_of(end: MigrationResult | RamferryError) -> object:
    return recorded(Rig(end), Wish(method="qatzip"), threading.Event())


def test_a_good_run_ends_with_its_result() -> None:
    run = recorded(Rig(RUN), Wish(method="qatzip"), threading.Event())
    assert run.result == RUN
    assert (run.send_cpu_seconds, run.recv_cpu_seconds) == (1.5, None)
    first, last = run.timeline
    assert (first.seconds, first.status, first.wire_bytes) == (0.5, "active", 777)
    assert (first.iteration, first.remaining_bytes, first.guest_bytes) == (1, 4096, 8192)
    assert (last.seconds, last.status, last.wire_bytes) == (1.0, "completed", 100_000_000)
    assert (last.remaining_bytes, last.guest_bytes) == (0, 50_000 * 4096)


def test_a_failed_run_is_kept_with_its_sentence() -> None:
    run = recorded(Rig(MigrationFailed("it broke")), Wish(method="qatzip"), threading.Event())
    assert (run.result, run.error, len(run.timeline)) == (None, "it broke", 1)


def test_a_cancelled_run_is_none() -> None:
    with pytest.raises(Cancelled):
        run_of(Cancelled("enough"))
