"""Time that cores were taken, from a ``/proc/stat`` of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ramferry import occupancy
from ramferry.occupancy import taken_seconds

TICKS = os.sysconf("SC_CLK_TCK")
STAT = """cpu  9 9 9 9 9 9 9 9 9 9
cpu0 1 2 4 1000 1000 8 16 32 5000 5000
cpu1 64 0 0 7 7 0 0 0 0 0
cpu10 128 0 0 7 7 0 0 0 0 0
intr 1 2 3
ctxt 9
"""


def test_idle_time_and_guests_that_count_already_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stat").write_text(STAT)
    monkeypatch.setattr(occupancy, "_STAT", tmp_path / "stat")
    for cores, ticks in (({0}, 63), ({1}, 64), ({0, 10}, 63 + 128), ({5}, 0)):
        assert taken_seconds(cores) == pytest.approx(ticks / TICKS)


def test_a_kernel_that_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(occupancy, "_STAT", tmp_path / "none")
    assert taken_seconds({0}) is None


def test_it_is_this_host_s_of_its_own_cores() -> None:
    assert (taken_seconds(os.sched_getaffinity(0)) or 0.0) > 0.0
