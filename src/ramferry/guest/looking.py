"""What the monitor tells about the guest's memory: its layout, its content, its dirty rate.

All RAM begins at guest-physical address 0 and has no holes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ramferry.guest.errors import MonitorError
from ramferry.ram.blocks import Ram
from ramferry.vocabulary import GIB

_LONGEST: Final = 60_000
_SHORTEST: Final = 50
"""Bounds of the time over which a dirty rate is measured, in milliseconds."""
_SAMPLED: Final = (128, 16384)
"""Bounds of ``sample-pages``, the number of pages that are sampled in each GiB."""
_USUALLY: Final = 512
"""The default of ``sample-pages``."""
_AT_ONCE: Final = 1024
"""Pages whose digests are computed together, from one copy."""
_ODD: Final = np.uint64(1)

Pages = NDArray[np.uint8]
Rows = NDArray[np.intp]


def layout(ram: Ram) -> str:
    """The flat view of the guest's memory, as ``info mtree -f`` prints it."""
    lines = ["FlatView #0", ' AS "memory", root: system', " Root memory region: system"]
    start = 0
    for block in ram.blocks.values():
        last = start + block.size - 1
        lines.append(f"  {start:016x}-{last:016x} (prio 0, ram): {block.name}")
        start += block.size
    return "\n".join([*lines, ""])


def save(ram: Ram, start: int, size: int, path: str) -> None:
    """Write a range of the guest's memory into a file.

    :raise MonitorError: the guest has no such memory, or the file cannot be written.
    """
    if start + size > ram.total:
        raise MonitorError(
            f"Invalid addr {start:#018x}/size {size}: this guest has {ram.total} bytes of memory"
        )
    try:
        with open(path, "wb") as out:
            for block in ram.blocks.values():
                part = block.view[max(start, 0) : start + size]
                out.write(part)
                size -= len(part)
                start = max(start - block.size, 0)
    except OSError as error:
        raise MonitorError(f"Could not open '{path}': {os.strerror(error.errno or 0)}") from error


class DirtyRate:
    """Measures the dirty rate as QEMU does by default: by the sampled pages that changed.

    One measurement at a time.
    """

    def __init__(self, ram: Ram) -> None:
        self._ram = ram
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._answer: dict[str, Any] = {
            "status": "unstarted",
            "sample-pages": 0,
            "mode": "page-sampling",
            "calc-time-unit": "second",
            "start-time": 0,
            "calc-time": 0,
        }

    def begin(self, arguments: Mapping[str, Any]) -> None:
        """Begin a measurement: ``calc-dirty-rate``.

        :raise MonitorError: in QEMU's words: an argument is wrong, or one is under way.
        """
        mode, unit = arguments.get("mode", "page-sampling"), arguments.get("calc-time-unit")
        if mode in ("dirty-ring", "dirty-bitmap"):
            raise MonitorError(f"mode {mode} is not enabled, use other method instead.")
        for name, value, choices in (
            ("mode", mode, ("page-sampling",)),
            ("calc-time-unit", unit or "second", ("second", "millisecond")),
        ):
            if value not in choices:
                raise MonitorError(f"Parameter '{name}' does not accept value '{value}'")
        length = arguments["calc-time"] * (1 if unit == "millisecond" else 1000)
        if not _SHORTEST <= length <= _LONGEST:
            raise MonitorError(f"Calculation time is out of range [{_SHORTEST}ms, {_LONGEST}ms].")
        pages = arguments.get("sample-pages", _USUALLY)
        if not _SAMPLED[0] <= pages <= _SAMPLED[1]:
            raise MonitorError(f"sample-pages is out of range[{_SAMPLED[0]}, {_SAMPLED[1]}].")
        self._start(length, pages, arguments["calc-time"], unit or "second")

    def answer(self) -> dict[str, Any]:
        """What ``query-dirty-rate`` answers."""
        return dict(self._answer)

    def close(self) -> None:
        """End a measurement that is under way; after this the memory is not read any more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _start(self, milliseconds: int, per_gib: int, asked: int, unit: str) -> None:
        with self._lock:
            if self._answer["status"] == "measuring":
                raise MonitorError("the dirty rate is already being measured.")
            self._answer = {
                "status": "measuring",
                "sample-pages": per_gib,
                "mode": "page-sampling",
                "calc-time-unit": unit,
                "start-time": int(time.time()),
                "calc-time": asked,
            }
        self._thread = threading.Thread(
            target=self._measure, args=(milliseconds / 1000, per_gib), name="dirty rate"
        )
        self._thread.start()

    def _measure(self, seconds: float, per_gib: int) -> None:
        rng = np.random.default_rng()
        factors = rng.integers(1 << 63, size=self._ram.page_size // 8, dtype=np.uint64) | _ODD
        sampled: list[tuple[Pages, Rows, NDArray[np.uint64]]] = []
        for block in self._ram.blocks.values():
            wanted = min(len(block.pages), -(-per_gib * block.size // GIB))
            rows = rng.choice(len(block.pages), wanted, replace=False)
            sampled.append((block.pages, rows, _digests(block.pages, rows, factors)))
        began = time.monotonic()
        if self._over.wait(seconds):
            return
        took = time.monotonic() - began
        changed = sum(
            float((_digests(pages, rows, factors) != then).mean()) * pages.nbytes
            for pages, rows, then in sampled
        )
        rate = round(changed / took / (1 << 20))
        self._answer = self._answer | {"status": "measured", "dirty-rate": rate}


def _digests(pages: Pages, rows: Rows, factors: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A digest of 64 bits for each page.

    It differs whenever one word of the page does, because every factor is odd.
    """
    found = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _AT_ONCE):
        part = pages[rows[start : start + _AT_ONCE]].view(np.uint64)
        found[start : start + _AT_ONCE] = part @ factors
    return found
