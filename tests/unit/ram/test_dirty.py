"""Dirty trackers: what a collect finds, which tracker is chosen, and what it says of itself.

The kernel's tracker is tested wherever the kernel has it; ``test_userfaultfd`` holds the rest.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from ramferry.errors import HostError, UsageError
from ramferry.ram import dirty, userfaultfd, write_protect
from ramferry.ram.blocks import Ram
from ramferry.ram.digest import DigestTracker
from ramferry.ram.dirty import DirtyTracker, track
from ramferry.ram.write_protect import rows_in
from trackers import KERNEL, PAGE, REASON

HUGE = 2 << 20
SIZES = [("pc.ram", HUGE + 5 * PAGE), ("vga.vram", 3 * PAGE), ("rom", 2 * PAGE)]


@pytest.fixture
def ram() -> Iterator[Ram]:
    with Ram.create(SIZES) as ram:
        yield ram


@pytest.fixture(params=[KERNEL, "digest"])
def tracker(request: pytest.FixtureRequest, ram: Ram) -> Iterator[DirtyTracker]:
    tracker = track(ram, request.param)
    assert tracker.name == request.param
    yield tracker
    tracker.close()


def collected(tracker: DirtyTracker) -> dict[str, list[int]]:
    found = tracker.collect()
    assert list(found) == [name for name, _ in SIZES]
    assert all(offsets.dtype == np.uint64 for offsets in found.values())
    return {name: offsets.tolist() for name, offsets in found.items() if len(offsets)}


def test_written_pages_are_found_once(ram: Ram, tracker: DirtyTracker) -> None:
    assert collected(tracker) == {}
    ram.blocks["pc.ram"].view[HUGE + 5 * PAGE - 1] = 1
    ram.blocks["pc.ram"].view[3 * PAGE] = 1
    ram.blocks["vga.vram"].view[0:1] = b"x"
    ram.blocks["rom"].pages[1, 17] = 5
    assert collected(tracker) == {
        "pc.ram": [3 * PAGE, HUGE + 4 * PAGE],
        "vga.vram": [0],
        "rom": [PAGE],
    }
    assert collected(tracker) == {}
    ram.blocks["rom"].pages[1, 17] = 6
    assert collected(tracker) == {"rom": [PAGE]}


def test_what_was_written_before_the_start_is_not_found(ram: Ram) -> None:
    ram.blocks["pc.ram"].view[:] = b"\xff" * (HUGE + 5 * PAGE)
    for wanted in dirty.TRACKERS[1 + bool(REASON) :]:
        tracker = track(ram, wanted)
        assert collected(tracker) == {}
        tracker.close()


def test_what_the_kernel_writes_into_the_mapping_is_found(ram: Ram, tracker: DirtyTracker) -> None:
    here, there = os.pipe()
    os.write(there, b"y" * 100)
    os.readv(here, [ram.blocks["pc.ram"].view[5 * PAGE : 5 * PAGE + 100]])
    os.close(here)
    os.close(there)
    assert collected(tracker) == {"pc.ram": [5 * PAGE]}


def test_more_regions_than_one_scan_holds(
    ram: Ram, tracker: DirtyTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker.close()
    monkeypatch.setattr(userfaultfd, "REGIONS", 7)
    again = track(ram, tracker.name)  # type: ignore[arg-type]
    ram.blocks["pc.ram"].pages[::2, 0] = 1
    assert collected(again) == {"pc.ram": list(range(0, HUGE + 5 * PAGE, 2 * PAGE))}
    assert collected(again) == {}
    again.close()


@pytest.mark.parametrize("page_size", [512, 1024, 16384])
@pytest.mark.parametrize("wanted", [KERNEL, "digest"])
def test_pages_of_other_sizes_than_the_hosts(page_size: int, wanted: dirty.Wanted) -> None:
    with Ram.create([("a", 3 * page_size), ("b", 5 * page_size)], page_size=page_size) as ram:
        tracker = track(ram, wanted)
        ram.blocks["b"].pages[1, 3] = 1
        ram.blocks["b"].pages[4, page_size - 1] = 1
        found = tracker.collect()
        assert {page_size, 4 * page_size} <= set(found["b"].tolist())
        for name, offsets in found.items():
            assert (np.diff(offsets.astype(np.int64)) > 0).all()
            assert (offsets < ram.blocks[name].size).all()
            assert not (offsets % page_size).any()
        if page_size >= mmap.PAGESIZE:
            assert (found["a"].tolist(), len(found["b"])) == ([], 2)
        tracker.close()


def test_spans_become_pages() -> None:
    spans = np.array([[0, 4096], [8192, 16384], [20480, 24576]], np.uint64)
    assert rows_in(spans, 4096, 24576).tolist() == [0, 2, 3, 5]
    assert rows_in(spans, 8192, 24576).tolist() == [0, 1, 2]
    assert rows_in(spans, 16384, 24576).tolist() == [0, 1]  # each once
    assert rows_in(spans, 2048, 23000).tolist() == [0, 1, 4, 5, 6, 7, 10, 11]
    assert rows_in(spans[:0], 4096, 24576).tolist() == []


def test_a_closed_tracker_says_so_and_memory_stays(ram: Ram, tracker: DirtyTracker) -> None:
    tracker.close()
    tracker.close()
    ram.blocks["rom"].view[0] = 1
    with pytest.raises(UsageError, match="closed"):
        tracker.collect()


@pytest.mark.skipif(bool(REASON), reason=REASON)
def test_closing_unregisters_so_that_another_may_begin(ram: Ram) -> None:
    first = track(ram, "uffd-wp")
    with pytest.raises(HostError, match="busy"):
        track(ram, "uffd-wp")
    first.close()
    second = track(ram, "uffd-wp")
    ram.blocks["rom"].view[0] = 1
    assert collected(second) == {"rom": [0]}
    second.close()


def test_a_page_that_changed_was_sent_and_changed_back_is_found(
    ram: Ram, tracker: DirtyTracker
) -> None:
    """The guest's lock word: free at both collects, taken when the page was read between them."""
    block = ram.blocks["pc.ram"]
    place, buffer = np.array([PAGE], np.uint64), memoryview(bytearray(PAGE))
    block.view[PAGE] = 7
    assert collected(tracker) == {"pc.ram": [PAGE]}
    block.view[PAGE] = 8
    tracker.sent("pc.ram", place, block.gather(place, buffer, copy=True))
    block.view[PAGE] = 7
    assert collected(tracker) == {"pc.ram": [PAGE]}
    block.view[PAGE] = 0
    tracker.sent("pc.ram", place, None)
    block.view[PAGE] = 7
    assert collected(tracker) == {"pc.ram": [PAGE]}


def test_pages_sent_of_a_later_block_are_told_apart(ram: Ram) -> None:
    tracker = track(ram, "digest")
    block = ram.blocks["rom"]
    block.pages[:] = 3
    place = np.array([0, PAGE], np.uint64)
    tracker.sent("rom", place, block.view)
    assert collected(tracker) == {}
    with pytest.raises(UsageError, match="no page of block 'rom'"):
        tracker.sent("rom", np.array([2 * PAGE], np.uint64), None)


def test_auto_takes_the_kernel_and_says_how(ram: Ram) -> None:
    tracker = track(ram)
    if REASON:
        assert (tracker.name, tracker.why.endswith(REASON)) == ("digest", True)
    else:
        assert tracker.name == "uffd-wp"
        assert tracker.why.startswith("the kernel tells which pages were written, by ")
    assert tracker.needs_copies == (tracker.name == "digest")
    tracker.close()


def test_where_the_kernel_refuses_digests_are_compared(
    ram: Ram, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise HostError("the kernel is of stone")

    monkeypatch.setattr(write_protect, "WriteProtected", refuse)
    tracker = track(ram)
    assert isinstance(tracker, DigestTracker)
    assert tracker.why == "digests of pages are compared because the kernel is of stone"
    with pytest.raises(HostError, match="of stone"):
        track(ram, "uffd-wp")


def test_an_unknown_tracker_is_refused(ram: Ram) -> None:
    with pytest.raises(UsageError, match="no dirty tracker 'soft': there are auto, uffd-wp"):
        track(ram, "soft")  # type: ignore[arg-type]


@pytest.mark.skipif(bool(REASON), reason=REASON)
@pytest.mark.parametrize("step", [lambda t: t.collect(), lambda t: t.close()])
def test_memory_outlives_its_ram_while_it_is_tracked(
    step: Callable[[DirtyTracker], object],
) -> None:
    ram = Ram.create(SIZES)
    tracker = track(ram, "uffd-wp")
    ram.close()
    step(tracker)
