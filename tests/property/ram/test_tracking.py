"""No write is lost: what is copied after each collect ends as what the guest's memory is."""

from __future__ import annotations

import ctypes
import mmap
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramferry.ram.blocks import Ram
from ramferry.ram.dirty import DirtyTracker, Wanted, track
from trackers import KERNEL, PAGE, REASON

HUGE = 2 << 20
MADV_COLLAPSE = 25  # not in Python's mmap
SIZES = [("a", 7 * PAGE), ("b", PAGE), ("c", 12 * PAGE)]
BLOCKS = dict(SIZES)


TRACKERS = [
    KERNEL,
    "digest",
]

write = st.sampled_from(list(BLOCKS)).flatmap(
    lambda name: st.tuples(
        st.just(name), st.integers(0, BLOCKS[name] - 1), st.integers(0, 255), st.integers(1, 9000)
    )
)


@pytest.mark.parametrize("wanted", TRACKERS)
@given(rounds=st.lists(st.lists(write, max_size=6), max_size=5))
def test_a_collect_finds_what_the_model_knows(
    wanted: Wanted, rounds: list[list[tuple[str, int, int, int]]]
) -> None:
    with Ram.create(SIZES) as ram:
        tracker = track(ram, wanted)
        for writes in rounds:
            before = {name: bytes(block.view) for name, block in ram.blocks.items()}
            touched: dict[str, set[int]] = {name: set() for name in BLOCKS}
            for name, start, value, length in writes:
                end = min(start + length, BLOCKS[name])
                ram.blocks[name].view[start:end] = bytes([value]) * (end - start)
                touched[name] |= set(range(start // PAGE * PAGE, end, PAGE))
            for name, offsets in tracker.collect().items():
                now, found = bytes(ram.blocks[name].view), offsets.tolist()
                assert found == sorted(set(found))
                changed = {
                    at
                    for at in range(0, BLOCKS[name], PAGE)
                    if now[at : at + PAGE] != before[name][at : at + PAGE]
                }
                assert set(found) == (touched[name] if wanted == "uffd-wp" else changed)
        tracker.close()


def huge(sizes: list[tuple[str, int]]) -> Ram:
    """Memory of huge pages; where the host gives none, pages are small, and the same has to hold.

    A mapping is mostly placed below the last one: gaps bring its start to where a huge page may
    begin.
    """
    others: list[Ram | mmap.mmap] = []
    while (ram := Ram.create(sizes)).memory.ctypes.data % HUGE and len(others) < 32:
        gap = (ram.memory.ctypes.data - ram.total) % HUGE
        others += [ram, mmap.mmap(-1, gap // PAGE * PAGE + 4 * HUGE)]
    for other in others:
        other.close()
    ram.memory[::PAGE] = 1
    span = ctypes.c_void_p(ram.memory.ctypes.data), ctypes.c_size_t(ram.total // HUGE * HUGE)
    ctypes.CDLL(None).madvise(*span, MADV_COLLAPSE)
    return ram


@pytest.mark.skipif(bool(REASON), reason=REASON)
def test_a_write_to_a_huge_page_counts_for_one_of_the_guests() -> None:
    with huge([("a", 3 * HUGE), ("b", PAGE)]) as ram:
        tracker = track(ram, "uffd-wp")
        for page in (700, 701, 3):
            ram.blocks["a"].pages[page, 9] = 2
            assert tracker.collect()["a"].tolist() == [page * PAGE]
        tracker.close()


class Writer(threading.Thread):
    """Writes to random pages without pause, to many at once and without the interpreter's lock."""

    def __init__(self, ram: Ram) -> None:
        super().__init__()
        self.ram = ram
        self.ended = threading.Event()
        self.writes = 0

    def run(self) -> None:
        chance = np.random.default_rng(5)
        blocks = list(self.ram.blocks.values())
        while not self.ended.is_set():
            for block in blocks:
                rows = chance.integers(0, len(block.pages), max(len(block.pages) // 4, 1))
                column = int(chance.integers(0, PAGE))
                # few values: pages return to what they were
                block.pages[rows, column] = chance.integers(0, 2)
                self.writes += len(rows)


def carry(tracker: DirtyTracker, ram: Ram, copies: dict[str, np.ndarray]) -> None:
    """One round: collect, then read what was found and put it at the destination."""
    for name, offsets in tracker.collect().items():
        block, at = ram.blocks[name], 0
        while len(part := offsets[at : at + 128]):
            buffer = memoryview(bytearray(len(part) * PAGE))
            data = block.gather(part, buffer, copy=tracker.needs_copies)
            tracker.sent(name, part, data)
            copies[name][part // PAGE] = np.frombuffer(data, np.uint8).reshape(-1, PAGE)
            at += 128


@pytest.mark.parametrize("kind", ["memory", "huge"])
@pytest.mark.parametrize("wanted", TRACKERS)
def test_no_write_is_lost_to_a_collect_beside_it(wanted: Wanted, kind: str) -> None:
    sizes = [("a", (6 << 20) + 3 * PAGE), ("b", 5 * PAGE), ("c", 1 << 20)]
    makers = {
        "memory": lambda: Ram.create(sizes),
        "huge": lambda: huge(sizes),
    }
    with makers[kind]() as ram:
        copies = {name: block.pages.copy() for name, block in ram.blocks.items()}
        tracker, writer = track(ram, wanted), Writer(ram)
        writer.start()
        rounds, end = 0, time.monotonic() + 0.5
        while time.monotonic() < end or not rounds or (writer.writes <= 1000 and writer.is_alive()):
            carry(tracker, ram, copies)
            rounds += 1
        writer.ended.set()
        writer.join()
        carry(tracker, ram, copies)
        assert writer.writes > 1000
        for name, block in ram.blocks.items():
            wrong = np.flatnonzero((block.pages != copies[name]).any(axis=1))
            assert wrong.tolist() == [], f"lost in block {name} after {rounds} rounds"
        assert all(len(offsets) == 0 for offsets in tracker.collect().values())
        tracker.close()
