"""The boot sector's parameters, and the verifier against hand-made RAM."""

import struct

import numpy as np
import pytest

from ramferry.bench import boot_sector
from ramferry.errors import UsageError
from ramferry.vocabulary import PAGE_SIZE

MIB = 1024 * 1024
FIRST = MIB
PAGES = 512
MEMORY = FIRST + PAGES * PAGE_SIZE


def page_of(generation: int, number: int) -> bytes:
    """What boot_sector.asm says about a page, word by word."""
    words = [generation, number]
    x = (number * 2654435761 + generation * 2246822519) % 2**32
    for _ in range(256 + number % 256):
        x = (x * 1664525 + 1013904223) % 2**32
        words.append(x)
    words += [(number + generation) % 2**32] * (1024 - len(words))
    return struct.pack("<1024I", *words)


def ram_after(written: int, *, words: int = 0) -> boot_sector.NDArray[np.uint8]:
    """RAM of a guest that completed ``written`` pages and ``words`` words of the next."""
    ram = np.random.default_rng(1).integers(0, 256, MEMORY, dtype=np.uint8)
    passes, cursor = divmod(written, PAGES)
    for index in range(PAGES):
        generation = passes + 1 if index < cursor else passes
        if generation:
            put(ram, index, page_of(generation, FIRST // PAGE_SIZE + index))
    after = page_of(passes + 1, FIRST // PAGE_SIZE + cursor)
    put(ram, cursor, after[: 4 * words])
    sector = boot_sector.boot_sector(MEMORY, first=FIRST, rate=1)
    ram[0x7C00:0x7E00] = np.frombuffer(sector, np.uint8)
    ram[0x9000:0x9010] = np.frombuffer(struct.pack("<4s3I", b"RFRY", 9, written, 0), np.uint8)
    return ram


def put(ram: boot_sector.NDArray[np.uint8], index: int, data: bytes) -> None:
    begin = FIRST + index * PAGE_SIZE
    ram[begin : begin + len(data)] = np.frombuffer(data, np.uint8)


def test_sector_carries_its_parameters() -> None:
    sector = boot_sector.boot_sector(8 * MIB, first=4 * MIB, rate=40.96)
    assert len(sector) == 512
    assert sector.startswith(boot_sector.CODE)
    # 40.96 MB/s are 100 pages a tick of 10 ms; a tenth of a second may be made up for.
    assert struct.unpack("<5I", sector[490:510]) == (4 * MIB, 8 * MIB, 25600, 256000, 11932)
    assert sector[510:] == b"\x55\xaa"


@pytest.mark.parametrize(("rate", "credit"), [(0, 0), (0.004096, 3), (None, 1 << 30)])
def test_rates(rate: float | None, credit: int) -> None:
    sector = boot_sector.boot_sector(8 * MIB, rate=rate)
    got, burst = struct.unpack_from("<2I", sector, 498)
    assert got == credit
    assert burst >= max(credit, boot_sector.CREDIT)
    assert burst + credit < 2**32


@pytest.mark.parametrize(
    ("first", "end"), [(0, MIB), (MIB, MIB), (MIB, 3072 * MIB + 4096), (MIB + 1, 2 * MIB)]
)
def test_range_out_of_reach_is_refused(first: int, end: int) -> None:
    with pytest.raises(UsageError, match="the guest cannot write the memory"):
        boot_sector.boot_sector(end, first=first)


def test_absurd_rates_are_refused() -> None:
    for rate in (-1.0, 1e6, float("nan")):
        with pytest.raises(UsageError, match=r"the guest cannot write .* MB/s"):
            boot_sector.boot_sector(8 * MIB, rate=rate)


@pytest.mark.parametrize("written", [0, 1, 300, PAGES, 2 * PAGES - 1, 7 * PAGES + 123])
@pytest.mark.parametrize("words", [0, 1, 2, 300, 1023, 1024])
def test_whole_ram_is_accepted(written: int, words: int) -> None:
    ram = ram_after(written, words=words)
    verdict = boot_sector.verify(ram)
    assert verdict.ok, verdict
    assert verdict.checked == (written if written < PAGES else PAGES)
    assert verdict.generation == written // PAGES + 1
    assert verdict.state == boot_sector.state(ram) == (b"RFRY", 9, written, 0)


@pytest.mark.parametrize("index", [0, 99, 100, 101, PAGES - 1])
@pytest.mark.parametrize("harm", ["stale", "zero", "ahead", "neighbour", "bit"])
def test_one_harmed_page_is_found(index: int, harm: str) -> None:
    ram = ram_after(5 * PAGES + 100, words=500)
    generation = 6 if index < 100 else 5
    number = FIRST // PAGE_SIZE + index
    data = {
        "stale": page_of(generation - 1, number),
        "zero": bytes(PAGE_SIZE),
        "ahead": page_of(generation + 2, number),
        "neighbour": page_of(generation, number + 1),
        "bit": bytes([ram[FIRST + index * PAGE_SIZE] ^ 1]),
    }[harm]
    put(ram, index, data)
    verdict = boot_sector.verify(ram)
    assert verdict.bad == (number,)
    assert str(verdict) == f"pass 6, 512 pages checked, 1 lost or stale: page {number:#x}"


def test_current_page_must_be_new_then_old() -> None:
    ram = ram_after(5 * PAGES + 100, words=500)
    begin = FIRST + 100 * PAGE_SIZE
    old, new = (page_of(generation, FIRST // PAGE_SIZE + 100) for generation in (5, 6))
    ram[begin : begin + PAGE_SIZE] = np.frombuffer(old[:400] + new[400:], np.uint8)
    assert not boot_sector.verify(ram).ok


def test_first_pass_checks_what_was_written() -> None:
    ram = ram_after(100)
    put(ram, 99, bytes(PAGE_SIZE))
    assert boot_sector.verify(ram).bad == (FIRST // PAGE_SIZE + 99,)


@pytest.mark.parametrize("at", [0x9000, 0x7C00, 490 + 0x7C00 + 7])
def test_ram_of_another_guest_is_refused(at: int) -> None:
    ram = ram_after(100)
    ram[at] ^= 0xFF
    with pytest.raises(UsageError, match="holds no guest of ours that has started"):
        boot_sector.verify(ram)


def test_state_before_the_start() -> None:
    assert boot_sector.state(np.zeros(MIB, np.uint8)) == (b"", 0, 0, 0)
