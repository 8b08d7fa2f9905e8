"""Fills guest RAM: with a generator's text, records and zero pages, or with a person's own files.

The generator's RAM is laid out in extents of 64 KiB, each of one kind, drawn by the seed and the
extent's place alone. A quarter are zero pages. The rest, the normal pages that a multifd channel
carries, compress 2.65 to 1 with zlib level 1 as QEMU sends them: one stream, flushed after each
packet of 512 KiB (3.04 with zlib 6, 3.15 with zstd 1, 3.26 with zstd 3; the first is a unit test).
Text and records are drawn anew for each extent: no page comes twice.
"""

from __future__ import annotations

import functools
import mmap
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ramferry.errors import HostError, UsageError

Bytes = NDArray[np.uint8]

LOW_MEMORY = 1024 * 1024
"""Bytes from address 0 that a guest's firmware and boot sector use, and that are not filled."""

EXTENT = 64 * 1024
CHUNK = 1024 * 1024
"""The generator draws this much from one seed."""

KINDS = ("zero", "text", "records")
SHARES = (0.25, 0.40, 0.35)

CELL = 128
"""Text is made of cells of so many bytes, cut out of ``_prose``."""

PROSE_BYTES = 8 * 1024 * 1024
VOCABULARY = 1400

LETTERS = b"etaoinshrdlcumwfgypbvkjxqz"
SEPARATORS = (b" ", b", ", b".\n", b" = ", b"();\n")
SEPARATOR_SHARES = (0.80, 0.08, 0.06, 0.04, 0.02)

LEAST_DATA = 16 * 1024 * 1024
"""Fewest bytes of files that may fill RAM: eight channels with zstd level 3's window of 2 MiB see
16 MiB of guest RAM at a time, and must not find the same file in it twice."""

SHIFT = 1013
"""The number of bytes after which files repeat, modulo 4096. It is odd, so that the pages of the
first 4096 repetitions all begin at different places of the files."""


def _never() -> None:
    """A ``heed`` that never interrupts."""


def fill(
    ram: Bytes,
    *,
    seed: int = 1,
    files: Sequence[Path] = (),
    low: int = LOW_MEMORY,
    random_share: float = 0.0,
    heed: Callable[[], None] = _never,
) -> None:
    """Write ``ram`` from ``low`` (bytes, a multiple of 1 MiB) to its end; nothing below changes.

    ``ram`` is a guest's whole RAM as a flat array, the caller's. Without ``files`` the generator
    fills it, the same for the same seed; the length does not change what stands at an address.

    :param random_share: that of ``ram`` which random bytes fill, at its end, in whole MiB.
    :param heed: called after every few MiB; an exception that it raises ends the work.
    :raise UsageError: the files hold less than ``LEAST_DATA`` together.
    :raise HostError: a file cannot be read.
    """
    border = max(low, len(ram) - round(len(ram) * random_share / CHUNK) * CHUNK)
    for begin in range(border, len(ram), CHUNK):
        heed()
        chunk = ram[begin : begin + CHUNK]
        drawn = np.random.Generator(np.random.SFC64([seed, begin, 1]))
        chunk[:] = np.frombuffer(drawn.bytes(len(chunk)), np.uint8)
    if files:
        _fill_from_files(ram[low:border], files, heed)
        return
    for begin in range(low, border, CHUNK):
        heed()
        _fill_chunk(ram[begin : min(begin + CHUNK, border)], seed, begin)


def data_files(value: str, whose: str = "RAMFERRY_DATA") -> tuple[Path, ...]:
    """Read ``RAMFERRY_DATA``: paths separated by colons; a folder stands for the files in it.

    :param whose: the name of the variable or option, for the error's sentence.
    :raise UsageError: a path does not exist, or a folder holds no file.
    """
    found: list[Path] = []
    for path in (Path(part).expanduser() for part in value.split(os.pathsep) if part):
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        if not inside or not inside[0].exists():
            raise UsageError(f"{whose} names {path}, but there is no file")
        found += inside
    return tuple(found)


def _fill_chunk(chunk: Bytes, seed: int, place: int) -> None:
    rng = np.random.Generator(np.random.SFC64([seed, place]))
    kinds = rng.choice(len(KINDS), CHUNK // EXTENT, p=SHARES)
    for kind, begin in zip(kinds.tolist(), range(0, len(chunk), EXTENT), strict=False):
        extent = chunk[begin : begin + EXTENT]
        if KINDS[kind] == "zero":
            extent[:] = 0
        elif KINDS[kind] == "text":
            extent[:] = _text(rng)[: len(extent)]
        else:
            extent[:] = _records(rng, place + begin)[: len(extent)]


def _text(rng: np.random.Generator) -> Bytes:
    prose = _prose()
    return prose[rng.integers(0, len(prose), EXTENT // CELL, dtype=np.uint32)].reshape(-1)


@functools.cache
def _prose() -> Bytes:
    """Words of a made-up language, frequent ones more often, as rows of ``CELL`` bytes."""
    rng = np.random.Generator(np.random.SFC64(0))
    frequency = np.arange(len(LETTERS), 0, -1) ** 2.0
    letters = np.frombuffer(LETTERS, np.uint8)
    words = [
        rng.choice(letters, length, p=frequency / frequency.sum()).tobytes()
        for length in rng.integers(2, 11, VOCABULARY).tolist()
    ]
    tokens = [word + separator for word in words for separator in SEPARATORS]
    lengths = np.array([len(token) for token in tokens], np.int32)
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    drawn = _draw_tokens(rng, PROSE_BYTES // 4)
    # Character k of the text is character k - (where its token begins) of that token.
    begins = np.cumsum(lengths[drawn], dtype=np.int32) - lengths[drawn]
    source = np.repeat(starts[drawn] - begins, lengths[drawn])[:PROSE_BYTES]
    source += np.arange(len(source), dtype=np.int32)
    prose: Bytes = np.frombuffer(b"".join(tokens), np.uint8)[source]
    return prose.reshape(-1, CELL)


def _draw_tokens(rng: np.random.Generator, count: int) -> NDArray[np.int32]:
    """Indices of tokens: a word by Zipf's law, a separator by its share."""
    words = _draw(rng, 1 / np.arange(1, VOCABULARY + 1), count)
    separators = _draw(rng, np.array(SEPARATOR_SHARES), count)
    return words * np.int32(len(SEPARATORS)) + separators


def _draw(rng: np.random.Generator, weights: NDArray[np.float64], count: int) -> NDArray[np.int32]:
    """Draw by weight, through a table of 65536 outcomes: ten times faster than a search."""
    edges = np.cumsum(weights) / weights.sum()
    outcome = np.searchsorted(edges, (np.arange(65536) + 0.5) / 65536).astype(np.int32)
    return outcome[rng.integers(0, 65536, count, dtype=np.uint16)]


def _records(rng: np.random.Generator, place: int) -> Bytes:
    """Heap objects of 64 bytes as a program leaves them: eight little-endian words each."""
    count = EXTENT // 64
    noise = rng.integers(0, 1 << 64, (count, 4), dtype=np.uint64)
    number = np.arange(place // 64, place // 64 + count, dtype=np.uint64)
    heap = np.uint64(0x00007F3A_40000000)
    record = np.empty((count, 8), np.uint64)
    record[:, 0] = 0x0000555555A40010 + (noise[:, 0] >> 58) * 0x30  # type, of 64
    record[:, 1] = heap + (noise[:, 0] & 0x3FFFF0)  # next
    record[:, 2] = heap + (noise[:, 1] & 0xFFFF0)  # parent
    record[:, 3] = number | (noise[:, 1] >> 61 << 32)  # id, flags
    record[:, 4] = 0x0000018F_6A000000 + number * 16 + (noise[:, 2] & 0xFFF)  # milliseconds
    record[:, 5] = (noise[:, 2] >> 56).astype(np.float64).view(np.uint64)  # a measurement
    record[:, 6] = noise[:, 2] >> 32 & 0xFF  # size
    record[:, 7] = np.where(noise[:, 1] >> 32 & 7, 0, noise[:, 3])  # checksum, in one of eight
    return record.reshape(-1).view(np.uint8)


def _fill_from_files(ram: Bytes, files: Sequence[Path], heed: Callable[[], None]) -> None:
    total = sum(_size(path) for path in files)
    if total < LEAST_DATA:
        raise UsageError(
            f"the files to fill RAM with hold {total / 2**20:.1f} MiB together: give at least"
            f" {LEAST_DATA >> 20} MiB, or the same data would come twice within a codec's window"
        )
    period = total - (total - SHIFT) % 4096
    for begin in range(0, len(ram), period):
        repetition = ram[begin : begin + period]
        at = 0
        for path in files:
            heed()
            at += _copy(path, repetition[at:])


def _copy(path: Path, ram: Bytes) -> int:
    """Copy as much of a file as fits; returns how much that was."""
    size = min(_size(path), len(ram))
    if size:
        ram[:size] = _map(path)[:size]
    return size


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}") from error


def _map(path: Path) -> Bytes:
    try:
        with path.open("rb") as file:
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}") from error
