"""Passes a guest's events to the clients of its monitor."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

NOTE: Final = "X_RAMFERRY_NOTE"
"""The event, unknown to QEMU, whose ``text`` is a sentence for a person."""

Told = Callable[[str, Mapping[str, object]], None]
"""Called with an event's name and data, from any thread."""


class Events:
    """Passes each event to every listener."""

    def __init__(self) -> None:
        self._told: list[Told] = []
        self._lock = threading.Lock()

    def listen(self, told: Told) -> Callable[[], None]:
        """Pass events to ``told`` from now on, until the returned function is called."""
        with self._lock:
            self._told.append(told)

        def end() -> None:
            with self._lock:
                self._told.remove(told)

        return end

    def tell(self, event: str, data: Mapping[str, object] | None = None) -> None:
        """Pass an event to every listener."""
        with self._lock:
            listeners = tuple(self._told)
        for told in listeners:
            told(event, data or {})
