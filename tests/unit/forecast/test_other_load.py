"""forecast.other_load: what the host does and neither we nor our processes do."""

from __future__ import annotations

import os
import resource
from types import SimpleNamespace

import psutil
import pytest

from ramferry.forecast import other_load
from ramferry.forecast.other_load import OtherLoad


def test_ours_are_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """In 2 s of two cores 3.5 s were taken: ours 0.5, our children's 0.5, the guest's 1.0."""
    host = iter([3.0, 6.5])
    clock = iter([10.0, 12.0])
    ours = iter([(1.0, 1.0), (1.25, 1.25)])
    children = iter([(0.0, 0.0), (0.5, 0.0)])
    guest = iter([(7.0, 1.0), (7.5, 1.5)])

    def used(who: int) -> SimpleNamespace:
        user, system = next(ours if who == resource.RUSAGE_SELF else children)
        return SimpleNamespace(ru_utime=user, ru_stime=system)

    def process(pid: int) -> SimpleNamespace:
        assert pid == 77
        user, system = next(guest)
        return SimpleNamespace(cpu_times=lambda: SimpleNamespace(user=user, system=system))

    monkeypatch.setattr(other_load, "taken_seconds", lambda _: next(host))
    monkeypatch.setattr(other_load.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(other_load.resource, "getrusage", used)
    monkeypatch.setattr(other_load.psutil, "Process", process)
    assert OtherLoad(77).cores() == pytest.approx((3.5 - 0.5 - 0.5 - 1.0) / 2)


def test_it_is_of_the_cores_that_this_process_may_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 64 cores others may keep 60 busy, and leave both of this process' alone."""
    asked = []
    monkeypatch.setattr(other_load, "cpus", lambda: frozenset({3, 7}))
    monkeypatch.setattr(other_load, "taken_seconds", lambda cores: asked.append(cores) or 0.0)
    assert OtherLoad().cores() == 0.0
    assert asked == [{3, 7}] * 2


def test_where_the_kernel_tells_nothing_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_load, "taken_seconds", lambda _: None)
    assert OtherLoad().cores() == 0.0


def test_a_process_that_has_ended_takes_nothing() -> None:
    gone = max(psutil.pids()) + 100_000
    assert OtherLoad(gone).cores() >= 0
    assert OtherLoad(os.getpid()).cores() >= 0
