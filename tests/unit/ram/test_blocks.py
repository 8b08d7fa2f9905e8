"""RAM blocks: sizes, pages by offset in both directions, and what is refused."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from ramferry.errors import HostError, UsageError
from ramferry.ram.blocks import Ram
from ramferry.ram.zero import zero_pages

PAGE = 4096
SIZES = [("pc.ram", 16 * PAGE), ("/rom@etc/acpi/tables", 2 * PAGE)]


def offsets(*pages: int) -> np.ndarray:
    return np.array(pages, np.uint64) * np.uint64(PAGE)


def test_blocks_lie_one_after_another_and_begin_with_zeros() -> None:
    with Ram.create(SIZES) as ram:
        assert (list(ram.blocks), ram.total) == (["pc.ram", "/rom@etc/acpi/tables"], 18 * PAGE)
        for name, size in SIZES:
            assert ram.blocks[name].view == bytes(size)
        ram.blocks["/rom@etc/acpi/tables"].view[:3] = b"abc"
        ram.blocks["pc.ram"].view[-1] = 7
        assert ram.blocks["pc.ram"].pages[15, -1] == 7
        assert bytes(ram.blocks["/rom@etc/acpi/tables"].pages[0, :3]) == b"abc"


@pytest.mark.parametrize("pages", [(3, 4, 5), (9, 2, 7), (0,), (15,), ()])
def test_what_is_scattered_is_gathered(pages: tuple[int, ...]) -> None:
    data = np.random.default_rng(len(pages)).integers(0, 256, len(pages) * PAGE, np.uint8)
    buffer = memoryview(bytearray(16 * PAGE))
    with Ram.create(SIZES) as ram:
        block = ram.blocks["pc.ram"]
        block.scatter(offsets(*pages), memoryview(data))
        assert bytes(block.gather(offsets(*pages), buffer)) == data.tobytes()
        for index, page in enumerate(pages):
            expected = data[index * PAGE : (index + 1) * PAGE]
            assert np.array_equal(block.pages[page], expected)
        block.clear(offsets(*pages))
        assert block.view == bytes(block.size)


def test_pages_side_by_side_are_not_copied() -> None:
    with Ram.create(SIZES) as ram:
        block = ram.blocks["pc.ram"]
        view = block.gather(offsets(4, 5), memoryview(b""))
        block.view[4 * PAGE] = 9
        assert view[0] == 9


def test_a_copy_stays_what_it_was() -> None:
    with Ram.create(SIZES) as ram:
        block, buffer = ram.blocks["pc.ram"], memoryview(bytearray(2 * PAGE))
        for pages in ((4, 5), (5, 1)):
            block.view[5 * PAGE] = 8
            data = block.gather(offsets(*pages), buffer, copy=True)
            block.view[5 * PAGE] = 9
            assert data[pages.index(5) * PAGE] == 8
        with pytest.raises(UsageError, match="2 pages do not fit into 4096 bytes"):
            block.gather(offsets(4, 5), buffer[:PAGE], copy=True)


def test_pages_side_by_side_are_received_in_place() -> None:
    with Ram.create(SIZES) as ram:
        block = ram.blocks["pc.ram"]
        window = block.window(offsets(14, 15))
        assert window is not None
        assert len(window) == 2 * PAGE
        window[-1] = 3
        assert block.pages[15, -1] == 3
        assert block.window(offsets(15, 14)) is None
        assert block.window(offsets()) is None
        with pytest.raises(UsageError, match="no page of block"):
            block.window(offsets(15, 16))


def test_offsets_that_could_be_negative_are_refused() -> None:
    with Ram.create(SIZES) as ram, pytest.raises(UsageError, match="unsigned integers, not int64"):
        ram.blocks["pc.ram"].clear(np.array([-PAGE]))


@pytest.mark.parametrize("page_size", [0, 256, 4000, -4096])
def test_pages_are_powers_of_two(page_size: int) -> None:
    with pytest.raises(UsageError, match="no power of two"):
        Ram.create([("a", 4096)], page_size=page_size)


def test_closing_gives_the_memory_back() -> None:
    ram = Ram.create(SIZES)
    inode = str(os.fstat(ram.fd).st_ino)
    assert inode in Path("/proc/self/maps").read_text().split()
    ram.close()
    ram.close()
    assert inode not in Path("/proc/self/maps").read_text().split()


@pytest.mark.parametrize("wrong", [16 * PAGE, 17, 1 << 40])
def test_an_offset_that_is_no_page_is_refused(wrong: int) -> None:
    places = np.array([0, wrong], np.uint64)
    with Ram.create(SIZES) as ram:
        block = ram.blocks["pc.ram"]
        for attempt in (
            lambda: block.gather(places, memoryview(bytearray(2 * PAGE))),
            lambda: block.scatter(places, memoryview(bytes(2 * PAGE))),
            lambda: block.clear(places),
            lambda: block.window(places),
        ):
            with pytest.raises(UsageError, match=r"no page of block 'pc\.ram'"):
                attempt()


def test_sizes_have_to_fit() -> None:
    with Ram.create(SIZES) as ram, pytest.raises(UsageError, match="2 pages are not 4096 bytes"):
        ram.blocks["pc.ram"].scatter(offsets(0, 1), memoryview(bytes(PAGE)))
    for sizes in ([], [("a", 100)], [("a", 0)], [("a", PAGE), ("a", PAGE)]):
        with pytest.raises(UsageError):
            Ram.create(sizes)


def test_memory_that_cannot_be_mapped_is_a_sentence() -> None:
    with pytest.raises(HostError, match="cannot map"):
        Ram.create([("a", 1 << 62)])


@pytest.mark.parametrize("size", [1024, 4096, 65536])
def test_zero_pages_are_those_without_a_single_bit(size: int) -> None:
    pages = np.zeros((40, size), np.uint8)
    chance = np.random.default_rng(size)
    full = sorted(chance.choice(40, 20, replace=False).tolist())
    for page in full:
        pages[page, chance.integers(0, size)] = 1 << chance.integers(0, 8)
    assert np.flatnonzero(~zero_pages(pages)).tolist() == full
    assert zero_pages(pages[:0]).tolist() == []
    assert zero_pages(np.zeros((3, size), np.uint8)).all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_zero_pages_of_many_chunks(share: float) -> None:
    chance = np.random.default_rng(3)
    pages = np.zeros((2500, 512), np.uint8)
    full = np.flatnonzero(chance.random(2500) < share)
    pages[full, chance.integers(0, 512, len(full))] = 1
    assert np.array_equal(np.flatnonzero(~zero_pages(pages)), full)


def test_populated_memory_is_resident_and_unchanged() -> None:
    size = 40 << 20  # more than one piece
    with Ram.create([("a", size)]) as ram:
        ram.memory[size - 1] = 7
        ram.populate(threading.Event())
        assert os.fstat(ram.fd).st_blocks * 512 == size
        assert ram.memory[size - 1] == 7
        assert int(ram.memory.sum()) == 7


def test_populating_ends_when_it_is_given_up() -> None:
    given_up = threading.Event()
    given_up.set()
    with Ram.create([("a", 1 << 20)]) as ram:
        ram.populate(given_up)
        assert os.fstat(ram.fd).st_blocks == 0


def test_memory_that_cannot_be_had_is_a_sentence() -> None:
    with Ram.create([("a", 1 << 20)]) as ram:
        os.ftruncate(ram.fd, 4096)  # as a tmpfs without room: a touch would be a SIGBUS
        with pytest.raises(HostError, match="cannot have 1 MiB of guest memory"):
            ram.populate(threading.Event())
