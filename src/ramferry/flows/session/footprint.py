"""Memory of this process, as the kernel counts it."""

from __future__ import annotations

import time
from pathlib import Path


def peak_resident() -> int:
    """Most memory that was resident at any time, in bytes (VmHWM).

    Not ``ru_maxrss``: a process inherits that from the one that started it.
    """
    return _field("status", "VmHWM")


def proportional() -> int:
    """Memory now, in bytes; pages shared with n processes count as an n-th (PSS)."""
    return _field("smaps_rollup", "Pss")


def _field(file: str, name: str) -> int:
    """A figure in bytes; 0 if it cannot be read, for example because no descriptor is left."""
    try:
        text = Path("/proc/self", file).read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return 0


class Footprint:
    """The most memory that was seen."""

    def __init__(self) -> None:
        self.proportional = 0
        """The most bytes that ``proportional`` returned."""
        self._next = 0.0

    def look(self) -> None:
        """Measure, unless that was done in the last second: it takes the kernel 0.5 ms."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 1.0
            self.measure()

    def measure(self) -> None:
        """Measure now."""
        self.proportional = max(self.proportional, proportional())
