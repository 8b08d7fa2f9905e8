"""Where a domain's guest is said to be: only where it was seen."""

from __future__ import annotations

import itertools

import pytest

from ramferry.control.libvirt.job import as_query_migrate
from ramferry.control.libvirt.places import ABSENT, whereabouts

RUNS, OFF = "running", "shut off"


@pytest.mark.parametrize(
    ("before", "near", "far", "said"),
    [
        (RUNS, RUNS, ABSENT, "the guest runs at the source"),
        (RUNS, RUNS, OFF, "the guest runs at the source"),
        (RUNS, RUNS, None, "runs at the source; the destination's libvirt does not answer: see"),
        (RUNS, RUNS, "paused", "runs at the source; a domain of its name is paused at the dest"),
        (RUNS, RUNS, RUNS, "it runs at the source and at the destination: `virsh suspend` one"),
        (RUNS, OFF, RUNS, "the guest runs at the destination"),
        (RUNS, "paused", RUNS, "at the destination: do not `virsh resume` the source, which is p"),
        (RUNS, None, RUNS, "at the destination; the source's libvirt does not answer: see that"),
        ("paused", "paused", ABSENT, "the guest is at the source, paused as before"),
        (RUNS, "paused", ABSENT, "at the source, which is paused: `virsh resume` there lets it"),
        (RUNS, "paused", None, "stands still at the source, which is paused, and the destination"),
        (RUNS, "paused", "paused", "the guest stands still: the source is paused, the destination"),
        (RUNS, None, None, "neither libvirt answers: see where the guest is"),
        (RUNS, None, ABSENT, "the source's libvirt does not answer, and the destination has no s"),
        (RUNS, None, "paused", "the source's libvirt does not answer, and the destination is pau"),
        (RUNS, ABSENT, None, "the source has no such domain any more, and the destination's lib"),
        (RUNS, OFF, ABSENT, "the source is shut off, and the guest is not at the destination"),
        (RUNS, ABSENT, "paused", "the source has no such domain any more; the guest is at the d"),
    ],
)
def test_what_is_said(before: str, near: str | None, far: str | None, said: str) -> None:
    assert said in whereabouts(before, near, far)


@pytest.mark.parametrize(
    ("near", "far"),
    list(itertools.product((RUNS, "paused", OFF, "crashed", ABSENT, None), repeat=2)),
)
def test_it_runs_only_where_it_was_seen_to(near: str | None, far: str | None) -> None:
    said = whereabouts(RUNS, near, far)
    assert ("runs at the source" in said) == (near == RUNS)
    assert ("runs at the destination" in said or "and at the destination: " in said) == (
        far == RUNS
    )


def test_a_jobs_statistics_are_query_migrates() -> None:
    stats = {"memory_total": 8, "memory_iteration": 2, "downtime": 70, "time_elapsed": 900}
    info = as_query_migrate(stats, "active")
    assert info["status"] == "active"
    assert info["expected-downtime"] == 70
    assert info["ram"] == {"page-size": 4096, "total": 8, "dirty-sync-count": 2}
    info = as_query_migrate({**stats, "setup_time": 3, "memory_page_size": 16384}, "completed")
    assert (info["downtime"], info["total-time"], info["setup-time"]) == (70, 900, 3)
    assert info["ram"]["page-size"] == 16384
    assert as_query_migrate({}, "active") == {"status": "active", "ram": {"page-size": 4096}}
