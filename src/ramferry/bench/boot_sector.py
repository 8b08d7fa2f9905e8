"""The guest of demo, bench and interop tests: a boot sector, and the proof its memory holds.

``boot_sector.asm`` is the source and documents the pattern; ``CODE`` is what nasm makes of it.
The guest either idles or writes page after page at a given rate, over and over, so that any RAM
image of a stopped guest shows whether a page was lost or is older than it may be.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ramferry.errors import UsageError
from ramferry.vocabulary import PAGE_SIZE

FIRST = 2 * 1024 * 1024
"""Where the pattern begins by default: below are the boot sector, its state and the firmware."""

HIGHEST = 3 * 1024 * 1024 * 1024
"""QEMU's ``pc`` machine maps what RAM it has beyond this above 4 GiB, where a flat 32-bit guest
cannot reach."""

CODE = bytes.fromhex(
    "fa31c08ed8e4920c02e6920f0116407d0f20c00c010f22c0ea1d7c080066b810008ed88ec08ed0bc00a00000"
    "fcb011e620b020e621b004e621b001e621b0fee621b0ffe6a1b034e643a1fa7d0000e64088e0e6400f011d4e"
    "7d0000bd0090000089efb90004000031c0f3abc745005246525931f6468b3dea7d00003b3dee7d000073f1fb"
    "90fa817d0c000100007302fbf40f017d00816d0c000100000f013f89f0ab89f8c1e80cab8d14300fb6c881c1"
    "0001000069c0b179379e69de77caeb8501d8bbfe03000029cb69c00d661900055ff36e3cabe2f289d989d0f3"
    "ab0f01bf00f0ffff89b700f0ffff0f017d00ff4508eb88bc00a000000f017d00ff45048b450c0305f27d0000"
    "3b05f67d00007605a1f67d000089450cb020e620e962ffffff909090909090900000000000000000ffff0000"
    "009bcf00ffff00000093cf001700287d0000f37c0800008e00000701467c"
)
"""boot_sector.asm up to its parameters; tests/interop holds it against nasm's output."""

LOADED_AT = 0x7C00
PARAMETERS = struct.Struct("<490x5I2s")
"""Behind the code: first, end, rate, burst, divisor, the boot signature."""

STATE_AT = 0x9000
_STATE = struct.Struct("<4s3I")
MAGIC = b"RFRY"
TICKS_PER_SECOND = 100
DIVISOR = round(1193182 / TICKS_PER_SECOND)
CREDIT = 256
"""Credit for one page write."""

BURST_SECONDS = 0.1
"""A guest that fell behind its rate catches up on so many seconds at most."""

UNLIMITED = CREDIT << 22
"""Credit for each tick of a guest that never waits: 16 GiB of page writes."""

WORDS = PAGE_SIZE // 4
LCG_A, LCG_C = 1664525, 1013904223
SEED_P, SEED_G = 2654435761, 2246822519
LEAST_NOISE = 256
BATCH = 1024
"""Pages verified at a time: 4 MiB and its temporaries stay in the processor's cache."""

Words = NDArray[np.uint32]


class GuestState(NamedTuple):
    """The state that the guest keeps in its memory, at ``STATE_AT``."""

    magic: bytes
    beats: int
    """Timer ticks, 100 a second: they grow as long as the guest runs."""
    written: int
    """Pages completed, over all passes."""
    credit: int
    """Page writes that are due, in units of 1/256 write."""


@dataclass(frozen=True, slots=True)
class MemoryCheck:
    """The result of checking a guest's RAM."""

    state: GuestState
    generation: int
    """The pass the guest is in, from 1; pages of pass 1 that are still due cannot be checked."""
    checked: int
    """Pages whose every byte was checked."""
    bad: tuple[int, ...]
    """Numbers of the pages that are lost, stale or damaged, ascending."""

    @property
    def ok(self) -> bool:
        """Whether every checked page is as the guest left it."""
        return not self.bad

    def __str__(self) -> str:
        passes = f"pass {self.generation}, {self.checked} pages checked"
        if self.ok:
            return f"{passes}, all as the guest left them"
        first = ", ".join(f"{page:#x}" for page in self.bad[:8])
        return f"{passes}, {len(self.bad)} lost or stale: page {first}"


def boot_sector(end: int, *, first: int = FIRST, rate: float | None = 0.0) -> bytes:
    """Return the 512 bytes of a guest that writes the pages from ``first`` to ``end`` (addresses).

    ``rate`` is in MB/s (10^6 bytes of pages): 0 for a guest that only counts timer ticks, ``None``
    for as fast as it can. Slow rates are exact to 0.0016 MB/s; a hundredth of a second's pages
    come in one go.

    :raise UsageError: the range is not whole pages between 64 KiB and 3 GiB, or the rate negative.
    """
    if first % PAGE_SIZE or end % PAGE_SIZE or not 0x10000 <= first < end <= HIGHEST:
        raise UsageError(
            f"the guest cannot write the memory from {first:#x} to {end:#x}: give whole pages"
            " between 0x10000 and 0xc0000000"
        )
    if rate is None:
        credit = burst = UNLIMITED
    else:
        if not 0 <= rate <= 100_000:
            raise UsageError(f"the guest cannot write {rate:g} MB/s: give 0 to 100000")
        credit = round(rate * 1e6 / PAGE_SIZE / TICKS_PER_SECOND * CREDIT)
        burst = max(credit, CREDIT, round(credit * BURST_SECONDS * TICKS_PER_SECOND))
    sector = PARAMETERS.pack(first, end, credit, burst, DIVISOR, b"\x55\xaa")
    return CODE + sector[len(CODE) :]


def state(ram: NDArray[np.uint8]) -> GuestState:
    """Read the state of a guest, also while it runs; all zeros before it started."""
    found = GuestState(*_STATE.unpack(ram[STATE_AT : STATE_AT + _STATE.size].tobytes()))
    return found if found.magic == MAGIC else GuestState(b"", 0, 0, 0)


def verify(ram: NDArray[np.uint8]) -> MemoryCheck:
    """Check every page of a stopped guest against the pattern; ``ram`` is its RAM from address 0.

    :raise UsageError: this is not the RAM of such a guest, or the guest has not started.
    """
    now = state(ram)
    sector = ram[LOADED_AT : LOADED_AT + PARAMETERS.size].tobytes()
    first, end, *_ = PARAMETERS.unpack(sector)
    if now.magic != MAGIC or not sector.startswith(CODE) or not first < end <= len(ram):
        raise UsageError("this RAM holds no guest of ours that has started")
    pages: Words = ram[first:end].view(np.uint32).reshape(-1, WORDS)
    passes, cursor = divmod(now.written, len(pages))
    bad: list[int] = []
    for begin in range(0, len(pages) if passes else cursor, BATCH):
        batch = pages[begin : begin + BATCH]
        number = np.arange(begin, begin + len(batch))
        generation = np.where(number < cursor, passes + 1, passes).astype(np.uint32)
        expected = _pattern(generation, (number + first // PAGE_SIZE).astype(np.uint32))
        wrong = (batch != expected).any(axis=1)
        wrong &= (number < cursor) | (passes > 0)
        if begin <= cursor < begin + len(batch) and passes:
            at = cursor - begin
            wrong[at] = not _partly(
                batch[at], passes + 1, first // PAGE_SIZE + cursor, expected[at]
            )
        bad += (first // PAGE_SIZE + number[wrong]).tolist()
    checked = len(pages) if passes else cursor
    return MemoryCheck(now, passes + 1, checked, tuple(bad))


def _partly(page: Words, generation: int, number: int, before: Words) -> bool:
    """Whether the page holds the generation's words up to some point and older ones from there."""
    after = _pattern(np.array([generation], np.uint32), np.array([number], np.uint32))[0]
    differ = page != after
    return not differ.any() or bool((page[differ.argmax() :] == before[differ.argmax() :]).all())


def _pattern(generation: Words, number: Words) -> Words:
    """What the guest writes: one row of words for each pair of generation and page number."""
    expected = np.empty((len(number), WORDS), np.uint32)
    seed = number * np.uint32(SEED_P) + generation * np.uint32(SEED_G)
    expected[:] = (number + generation)[:, None]
    expected[:, 0] = generation
    expected[:, 1] = number
    noise = seed[:, None] * _POWERS + _OFFSETS
    columns = np.arange(noise.shape[1], dtype=np.uint32)
    np.copyto(
        expected[:, 2 : 2 + noise.shape[1]],
        noise,
        where=columns < LEAST_NOISE + (number % 256)[:, None],
    )
    return expected


def _lcg(length: int) -> tuple[Words, Words]:
    """Factors and summands that take x to the LCG's value after 1, 2, … ``length`` steps."""
    powers, offsets = np.empty(length, np.uint32), np.empty(length, np.uint32)
    power, offset = 1, 0
    for step in range(length):
        power, offset = power * LCG_A % 2**32, (offset * LCG_A + LCG_C) % 2**32
        powers[step], offsets[step] = power, offset
    return powers, offsets


_POWERS, _OFFSETS = _lcg(LEAST_NOISE + 255)
