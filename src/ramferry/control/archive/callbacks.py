"""How a save or restore talks to its caller; every call comes from the thread that called it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ramferry.metrics import RelayCounters


@dataclass(frozen=True, slots=True)
class ArchiveHooks:
    """How a save or restore talks to its caller."""

    progress: Callable[[RelayCounters, int], None]
    """Called with the counters and a second figure: when saving, the bytes of the file so far; when
    restoring, the number of all pages with content."""
    note: Callable[[str], None]
    """Called with a sentence that a person should see, though it is no failure."""
    stop: threading.Event
    """Set it to cancel."""
    insist: threading.Event = field(default_factory=threading.Event)
    """Set it as well to wait no longer for a QEMU that does not answer."""
