"""Saving and restoring side by side with what QEMU itself can do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ramferry.bench.archive_ways import MAPPED, Way, ways
from ramferry.bench.archives import ArchiveRig, Course, table
from ramferry.bench.qemu import qemu_at

MEMORY = 64 << 20


@pytest.mark.interop
def test_every_way_brings_the_guest_back(
    require_peer: Callable[[str], Path], tmp_path: Path
) -> None:
    binary = qemu_at(require_peer("qemu-system-x86_64-10.0"))
    courses: dict[Way, list[Course]] = {}
    with ArchiveRig(binary, MEMORY, tmp_path) as rig:
        able, lacking = ways(binary)
        for way in able:
            courses[way] = [rig.course(way, 2, threading.Event())]
    assert not lacking
    assert {"QEMU file:", "QEMU exec:zstd -1", "QEMU exec:zstd -1 -T0", MAPPED.name} <= {
        way.name for way in courses
    }
    for (course,) in courses.values():
        assert course.save_seconds > 0
        assert course.restore_seconds > 0
        assert course.save_cpu_seconds > 0
    sizes = {way.name: done[0].size for way, done in courses.items()}
    assert sizes["ramferry save, zstd 1"] < sizes["ramferry save, none"] / 2
    assert sizes["QEMU exec:zstd -1 -T0"] < sizes["QEMU file:"] / 2
    # zero pages are holes in it
    assert sizes[MAPPED.name] < MEMORY
    assert len(table(courses).splitlines()) == len(courses) + 1
