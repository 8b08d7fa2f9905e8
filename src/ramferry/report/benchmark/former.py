"""Documents of ``ramferry bench`` of version 1: ``report`` compares them with today's."""

from __future__ import annotations

from typing import Any, Final

FORMAT: Final = 1
"""What such a document has as its ``format``; it has no ``version``."""

NOW: Final = "benchmark"
"""What such a document has today."""

_RESULT: Final = ("cases", "runs", "result")
_COUNTERS: Final = (*_RESULT, "relays", "counters")
_RENAMED: Final[dict[tuple[str, ...], dict[str, str]]] = {
    ("cases", "runs", "timeline"): {
        "iteration": "dirty_sync_count",
        "guest_bytes": "carried_bytes",
    },
    _RESULT: {
        "total_ms": "total_time_ms",
        "setup_ms": "setup_time_ms",
        "iterations": "dirty_sync_count",
        "guest_bytes": "normal_bytes",
    },
    _COUNTERS: {"pages": "normal_pages", "guest_bytes": "normal_bytes"},
    (*_COUNTERS, "channels"): {"pages": "normal_pages"},
}
"""Place → names of version 1 there → today's."""


def renamed(value: Any, place: tuple[str, ...] = ()) -> Any:
    """The document with today's names of its fields."""
    if isinstance(value, list):
        return [renamed(one, place) for one in value]
    if not isinstance(value, dict):
        return value
    names = _RENAMED.get(place, {})
    return {names.get(name, name): renamed(one, (*place, name)) for name, one in value.items()}
