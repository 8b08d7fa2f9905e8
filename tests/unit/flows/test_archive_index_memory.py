"""A save file that was made to take memory: many copies of a page in few bytes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np

from forging import Forger
from ramferry.flows.archive.format import CHUNK, OPENING, pack_numbers, unpack_numbers
from ramferry.flows.archive.reader import Archive

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
CHUNKS, PAGES = 20_000, 128


def stuffed(sound: bytes) -> bytes:
    """A save file with so many more chunks, of a byte each, of a page that was sent again."""
    forger = Forger(sound)
    table = np.frombuffer(bytes(forger.parts["chunks"]), CHUNK)
    count = int(table["pages"].sum())
    numbers = unpack_numbers(bytes(forger.parts["pages"]), count)
    newest = np.unpackbits(np.frombuffer(bytes(forger.parts["newest"]), np.uint8), count=count)
    more = np.zeros(CHUNKS, CHUNK)
    more["size"], more["pages"] = 1, PAGES
    more["offset"] = len(OPENING) + len(forger.chunks) + np.arange(CHUNKS)
    copies = np.zeros(CHUNKS * PAGES, np.uint32)
    forger.chunks += bytes(CHUNKS)
    forger.parts["chunks"] = bytearray(np.concatenate([table, more]).tobytes())
    forger.parts["pages"] = bytearray(pack_numbers([numbers, copies]))
    bits = np.packbits(np.concatenate([newest, copies.astype(np.uint8)]))
    forger.parts["newest"] = bytearray(bits.tobytes())
    forger.lay_out()
    return forger.build()


def test_a_copy_of_a_page_takes_few_bytes(tmp_path: Path) -> None:
    path = tmp_path / "stuffed"
    path.write_bytes(stuffed((GOLDEN / "save-2.state").read_bytes()))
    tracemalloc.start()
    try:
        with Archive(path, partial=True) as archive:
            assert archive.superseded(0) >= CHUNKS * PAGES
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * CHUNKS * PAGES
