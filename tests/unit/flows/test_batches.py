"""Packets cut from a guest's RAM: which pages, which of them zero, and where the bytes lie."""

from __future__ import annotations

import numpy as np
import pytest

from ramferry.flows.ends.guest_source import all_pages, count, ram_batches
from ramferry.ram.blocks import Offsets, Ram
from ramferry.vocabulary import PACKET_BYTES

PAGE = 4096
FULL = PACKET_BYTES // PAGE
SIZES = [("pc.ram", 300 * PAGE), ("rom", 3 * PAGE)]


class Tracker:
    """Remembers what it was told was sent."""

    name, why = "test", "a test"

    def __init__(self, *, needs_copies: bool = False) -> None:
        self.needs_copies = needs_copies
        self.told: list[tuple[str, list[int], bytes | None]] = []

    def collect(self) -> dict[str, Offsets]:
        return {}

    def sent(self, block: str, offsets: Offsets, data: memoryview | None) -> None:
        self.told.append((block, numbers(offsets), None if data is None else bytes(data)))

    def close(self) -> None:
        pass


def numbers(offsets: Offsets) -> list[int]:
    return [int(offset) // PAGE for offset in offsets]


def offsets(*pages: int) -> Offsets:
    return np.array(pages, np.uint64) * np.uint64(PAGE)


def filled() -> Ram:
    """Every page holds its number, so that page 0 is a zero page."""
    ram = Ram.create(SIZES)
    for block in ram.blocks.values():
        block.pages[:] = np.arange(len(block.pages))[:, None] % 256
    return ram


def test_all_pages_make_full_packets_in_order() -> None:
    with filled() as ram:
        dirty = all_pages(ram)
        assert count(dirty) == 303
        batches = list(ram_batches(ram, dirty, Tracker(), copied=False))
        assert [(one.block.name, len(one.offsets)) for one in batches] == [
            ("pc.ram", FULL),
            ("pc.ram", FULL),
            ("pc.ram", 300 - 2 * FULL),
            ("rom", 3),
        ]
        assert all(one.side_by_side for one in batches)


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize(
    "pages",
    [
        tuple(range(1, 9)),
        tuple(range(9)),
        (5,),
        (0,),
        (1, 3, 5),
        (0, 2, 256, 299),
        (1, 2, 4),
        tuple(range(2, 2 + 2 * 140, 2)),
    ],
)
def test_what_is_loaded_are_the_pages_that_were_dirty(pages: tuple[int, ...], copied: bool) -> None:
    buffer = memoryview(bytearray(PACKET_BYTES))
    with filled() as ram:
        block, zero, normal = ram.blocks["pc.ram"], list[int](), list[int]()
        dirty = {"pc.ram": offsets(*pages), "rom": offsets()}
        for batch in ram_batches(ram, dirty, Tracker(), copied=copied):
            loaded = batch.load(buffer)
            zero += numbers(loaded.zero)
            normal += numbers(loaded.normal)
            expected = b"".join(bytes(block.pages[page]) for page in numbers(loaded.normal))
            assert (loaded.block, bytes(loaded.data)) == ("pc.ram", expected)
    empty = [page for page in pages if page % 256 == 0]
    assert (zero, normal) == (empty, [page for page in pages if page % 256])


def test_side_by_side_without_a_zero_page_nothing_is_copied_unless_asked() -> None:
    buffer = memoryview(bytearray(PACKET_BYTES))
    with filled() as ram:
        for copied in (False, True):
            dirty = {"pc.ram": offsets(1, 2)}
            (batch,) = ram_batches(ram, dirty, Tracker(), copied=copied)
            data = batch.load(buffer).data
            ram.blocks["pc.ram"].view[PAGE] ^= 0xFF
            assert (data[0] == ram.blocks["pc.ram"].view[PAGE]) is not copied


def test_a_tracker_that_compares_is_told_of_all_that_is_sent() -> None:
    tracker, buffer = Tracker(needs_copies=True), memoryview(bytearray(PACKET_BYTES))
    with filled() as ram:
        (batch,) = ram_batches(ram, {"rom": offsets(0, 2)}, tracker, copied=True)
        batch.load(buffer)
    assert tracker.told == [("rom", [0], None), ("rom", [2], bytes([2]) * PAGE)]
