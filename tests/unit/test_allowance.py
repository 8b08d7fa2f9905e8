"""How many cores a process may use, from control groups in files of the test's own."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from ramferry import allowance
from ramferry.allowance import allowed_cores, busy_threads, cpus, quota, whole_cores

OWN = "12:cpu,cpuacct:/elsewhere\n0::/system.slice/ramferry-relay@out.service\n"
SLICE, SERVICE = "system.slice", "system.slice/ramferry-relay@out.service"
GUEST = "machine.slice/guest.scope"
PID, GONE = 4711, 4712


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where groups are: of this process, which may run on 8 cores, and of ``PID``, on 3."""
    for name, own in (("self", OWN), (str(PID), f"0::/{GUEST}\n")):
        (tmp_path / "proc" / name).mkdir(parents=True)
        (tmp_path / "proc" / name / "cgroup").write_text(own)
    for group in (SERVICE, GUEST):
        (tmp_path / "groups" / group).mkdir(parents=True)
    monkeypatch.setattr(allowance, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(allowance, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", runs_on)
    return tmp_path / "groups"


def runs_on(pid: int) -> set[int]:
    if pid == GONE:
        raise ProcessLookupError
    return set(range(8)) if not pid else {1, 3, 5}


def allow(groups: Path, group: str, words: str) -> None:
    (groups / group / "cpu.max").write_text(f"{words}\n")


@pytest.mark.parametrize(
    ("allowed", "cores"),
    [
        ({}, 0.0),
        ({SERVICE: "max 100000"}, 0.0),
        ({SERVICE: "150000 100000"}, 1.5),
        # a group above allows less
        ({SERVICE: "150000 100000", SLICE: "50000 100000"}, 0.5),
        ({SERVICE: "50000 100000", SLICE: "150000 100000"}, 0.5),
        ({SERVICE: "max 100000", SLICE: "40000 20000"}, 2.0),
        ({SERVICE: "", SLICE: "200000 100000"}, 2.0),
        ({GUEST: "150000 100000"}, 0.0),
    ],
)
def test_the_least_of_all_groups_counts(
    groups: Path, allowed: dict[str, str], cores: float
) -> None:
    for group, words in allowed.items():
        allow(groups, group, words)
    assert quota() == cores


@pytest.mark.parametrize("own", ["", "1:name=systemd:/\n", "no colons\n"])
def test_without_version_2_no_quota_is_known(groups: Path, own: str) -> None:
    allow(groups, SERVICE, "150000 100000")
    (groups.parent / "proc/self/cgroup").write_text(own)
    assert quota() == 0.0


def test_where_the_kernel_tells_nothing_no_quota_is_known(groups: Path) -> None:
    (groups.parent / "proc/self/cgroup").unlink()
    assert quota() == 0.0


@pytest.mark.parametrize(
    ("words", "limit", "cores", "whole", "threads"),
    [
        ("max 100000", 0.0, 8, 8, 8),
        ("max 100000", 2.5, 2.5, 2, 8),
        ("max 100000", 64.0, 8, 8, 8),
        ("150000 100000", 0.0, 1.5, 1, 2),
        ("150000 100000", 0.5, 0.5, 1, 2),
        ("150000 100000", 4.0, 1.5, 1, 2),
        ("20000 100000", 0.0, 0.2, 1, 1),
        # a quota may be for more cores than it may run on
        ("1600000 100000", 0.0, 8, 8, 8),
    ],
)
def test_the_least_of_cores_quota_and_limit_is_allowed(
    groups: Path, words: str, limit: float, cores: float, whole: int, threads: int
) -> None:
    allow(groups, SERVICE, words)
    assert (allowed_cores(limit), whole_cores(limit), busy_threads()) == (cores, whole, threads)


def test_another_process_has_its_own_cores_and_group(groups: Path) -> None:
    allow(groups, SERVICE, "50000 100000")
    assert (cpus(PID), allowed_cores(pid=PID)) == ({1, 3, 5}, 3)
    allow(groups, GUEST, "250000 100000")
    assert (allowed_cores(pid=PID), allowed_cores(1.0, PID), allowed_cores()) == (2.5, 1.0, 0.5)


def test_of_a_process_that_has_ended_only_the_hosts_cores_are_known(groups: Path) -> None:
    allow(groups, SERVICE, "50000 100000")
    assert (len(cpus(GONE)), allowed_cores(pid=GONE)) == (8, 8)


def test_this_process_may_use_some_cores() -> None:
    assert cpus() == os.sched_getaffinity(0)
    assert 0 < allowed_cores() <= len(cpus())
    assert 1 <= busy_threads() == math.ceil(allowed_cores())
