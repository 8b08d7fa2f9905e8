"""Measures what the policy expects of its candidates, and prints it as its table has it.

    RAMFERRY_DATA=FOLDER .venv/bin/python tools/expectations.py [METHOD...]

Packets of the files in FOLDER (the Silesia corpus, or a part of it), of random bytes, and of pages
that hold a few records each, are classed as the policy does; each file has at most 4 MiB of them,
and all files of a class count alike. CPU time of one thread, the least of three passes. Costs are
core nanoseconds for each byte of pages.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import numpy as np

from ramferry.bench.codecs import MethodCoder
from ramferry.bench.fill import data_files
from ramferry.codec import create_decoder
from ramferry.codec.zlib import HEADER, ZlibPacketEncoder
from ramferry.codec.zstd import FRAME_LEVELS
from ramferry.native.zstd import Compressor
from ramferry.policy.candidates import LEVELS
from ramferry.policy.classes import classify
from ramferry.policy.measurements import Candidate, PageClass
from ramferry.vocabulary import ONE_MEMBER, PACKET_BYTES, PAGE_SIZE

PASSES = 3
MOST = 8  # packets of a file
SEED = 17


class Zstd:
    """Also levels that QEMU does not have: a negative one makes frames, as level 1 does."""

    def __init__(self, level: int) -> None:
        self._encoder = Compressor(level, PACKET_BYTES, frames=level < 0 or level in FRAME_LEVELS)
        self._decoder = create_decoder("zstd")

    def pack(self, piece: memoryview) -> bytes:
        return b"".join(self._encoder.encode(piece))

    def unpack(self, packed: bytes, out: memoryview) -> None:
        self._decoder.decode(memoryview(packed), out)


class Zlib:
    """Packets that do not refer to one another, as where each may have another level."""

    def __init__(self, level: int) -> None:
        self._encoder, self._header = ZlibPacketEncoder(level), HEADER
        self._decoder = create_decoder("zlib")

    def pack(self, piece: memoryview) -> bytes:
        header, self._header = self._header, b""
        return b"".join([header, *self._encoder.encode(piece)])

    def unpack(self, packed: bytes, out: memoryview) -> None:
        self._decoder.decode(memoryview(packed), out)


def coder(candidate: Candidate) -> Zstd | Zlib | MethodCoder:
    if candidate.method == "zstd":
        return Zstd(candidate.level)
    if candidate.method == "zlib":
        return Zlib(candidate.level)
    return MethodCoder(candidate.method, candidate.level, ONE_MEMBER)


def corpora() -> Iterator[tuple[PageClass, list[memoryview]]]:
    """Packets of each file, by class."""
    made = np.random.Generator(np.random.PCG64(SEED))
    noise = made.integers(0, 256, MOST * PACKET_BYTES, np.uint8)
    sparse = np.zeros((MOST * PACKET_BYTES // PAGE_SIZE, PAGE_SIZE // 64, 64), np.uint8)
    # one record of 24 bytes in every fourth line of 64
    held = made.random(sparse.shape[:2]) < 0.25
    sparse[held, :8] = made.integers(0, 256, (held.sum(), 8), np.uint8) & 0x3F
    sparse[held, 8:24] = made.integers(0, 8, (held.sum(), 16), np.uint8)
    files = [np.fromfile(p, np.uint8) for p in data_files(os.environ["RAMFERRY_DATA"])]
    for data in (noise, sparse.reshape(-1), *files):
        whole = [
            data[at : at + PACKET_BYTES].data
            for at in range(0, len(data) - PACKET_BYTES + 1, PACKET_BYTES)
        ]
        for kind in PageClass:
            of_kind = [piece for piece in whole if classify(piece) is kind][:MOST]
            if len(of_kind) >= MOST // 2:
                yield kind, of_kind


def measure(candidate: Candidate, pieces: list[memoryview]) -> tuple[float, float, float]:
    """Wire bytes, and nanoseconds of both ends, for each byte of pages."""
    size = sum(map(len, pieces))
    out = np.full(PACKET_BYTES, 1, np.uint8).data
    encode = decode = float("inf")
    for _ in range(PASSES):
        used = coder(candidate)
        begun = time.thread_time_ns()
        packed = [used.pack(piece) for piece in pieces]
        middle = time.thread_time_ns()
        for one in packed:
            used.unpack(one, out)
        decode = min(decode, time.thread_time_ns() - middle)
        encode = min(encode, middle - begun)
    return sum(map(len, packed)) / size, encode / size, decode / size


def main() -> None:
    data = list(corpora())
    asked = sys.argv[1:] or list(LEVELS)
    for candidate in (Candidate(method, level) for method in asked for level in LEVELS[method]):
        cells = []
        for kind in PageClass:
            rows = [measure(candidate, pieces) for one, pieces in data if one is kind]
            cells.append(" ".join(f"{v:.4g}" for v in np.mean(rows, axis=0)))
        print(f"{candidate.method:6} {candidate.level:3} | " + " | ".join(cells), flush=True)


if __name__ == "__main__":
    main()
