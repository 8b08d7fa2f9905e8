"""Who hears of a guest's events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

Told = Callable[[str, Mapping[str, object]], None]
"""Takes an event's name and data; may be called from any thread."""


class Events:
    """Tells each event to everyone who listens."""

    def __init__(self) -> None:
        self._told: list[Told] = []
        self._lock = threading.Lock()

    def listen(self, told: Told) -> Callable[[], None]:
        """Have events told to ``told``; what is returned ends that."""
        with self._lock:
            self._told.append(told)
        return lambda: self._told.remove(told)

    def tell(self, event: str, data: Mapping[str, object] | None = None) -> None:
        """Tell everyone."""
        for told in list(self._told):
            told(event, data or {})
