"""Cores that others leave, from a ``/proc/stat`` of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ramferry import allowance, occupancy
from ramferry.flows.choosing import cores
from ramferry.flows.choosing.cores import Cores, Spare

TICKS = os.sysconf("SC_CLK_TCK")


class Host:
    """Two cores of this process' and one that it may not use."""

    def __init__(self, folder: Path) -> None:
        self.stat = folder / "stat"
        self.now = 0.0
        self.taken = [0.0, 0.0, 0.0]
        self.own = self.quota = 0.0
        self.write()

    def go(self, taken: tuple[float, float, float], own: float) -> None:
        """Four seconds, in which so many of each core are taken, and this process has ``own``."""
        self.now += 4.0
        self.taken = [one + more for one, more in zip(self.taken, taken, strict=True)]
        self.own += own
        self.write()

    def write(self) -> None:
        lines = ["cpu  1 2 3 4 5 6 7 8 0 0"]
        for number, taken in enumerate(self.taken):
            ticks = [
                round(taken * TICKS / 2),
                0,
                0,
                9999,
                9999,
                0,
                0,
                round(taken * TICKS / 2),
                5,
                0,
            ]
            lines.append(f"cpu{number} {' '.join(map(str, ticks))}")
        self.stat.write_text("\n".join([*lines, "intr 1 2 3", "ctxt 9"]))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path)
    monkeypatch.setattr(occupancy, "_STAT", made.stat)
    monkeypatch.setattr(cores.time, "monotonic", lambda: made.now)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(cores, "cpu_times", lambda: (made.own, 0.0))
    monkeypatch.setattr(allowance, "quota", lambda _: made.quota)
    return made


def settled(host: Host, gauge: Cores, taken: tuple[float, float, float], own: float) -> Spare:
    for _ in range(24):
        host.go(taken, own)
        spare = gauge.spare()
    return spare


def test_what_others_take_of_these_cores_is_theirs(host: Host) -> None:
    spare = settled(host, Cores(), (4.0, 2.0, 4.0), 2.0)
    assert (spare.cores, spare.used) == pytest.approx((1.0, 0.5), abs=0.01)


def test_an_idle_host_leaves_all(host: Host) -> None:
    spare = settled(host, Cores(), (1.0, 1.0, 0.0), 2.0)
    assert spare.cores == pytest.approx(2.0, abs=0.01)


def test_a_full_host_leaves_a_turn(host: Host) -> None:
    assert settled(host, Cores(), (4.0, 4.0, 0.0), 0.4).cores == pytest.approx(0.5, abs=0.01)


def test_a_limit_is_kept(host: Host) -> None:
    gauge = Cores(0.5)
    assert gauge.spare().cores == 0.5
    assert settled(host, gauge, (0.0, 0.0, 0.0), 0.0).cores == 0.5


@pytest.mark.parametrize(
    ("limit", "quota", "kept"), [(0.0, 1.5, 1.5), (0.5, 1.5, 0.5), (1.5, 0.5, 0.5)]
)
def test_the_control_groups_quota_is_a_limit(
    host: Host, limit: float, quota: float, kept: float
) -> None:
    host.quota = quota
    assert settled(host, Cores(limit), (0.0, 0.0, 0.0), 0.0).cores == kept


def test_a_call_that_comes_too_soon_tells_the_former_figures(host: Host) -> None:
    gauge = Cores()
    host.go((4.0, 4.0, 0.0), 0.0)
    before = gauge.spare()
    host.now += 0.01
    assert gauge.spare() is before


def test_where_the_kernel_tells_nothing_all_is_left(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(occupancy, "_STAT", host.stat.parent / "none")
    assert settled(host, Cores(), (4.0, 4.0, 0.0), 1.0).cores == 2.0
