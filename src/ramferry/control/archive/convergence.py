"""Whether a save of a running guest comes to its end, judged by its rounds. Pure.

Each round carries what was written during the last one. While rounds become smaller, one will fit
the downtime limit; where they do not, the guest writes as fast as it is saved, and would for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ramferry.units import memory

PATIENT_ROUNDS: Final = 3
"""So many rounds without progress are told: one may be larger by chance."""
WHAT_HELPS: Final = (
    "`stop` at its monitor lets this save end, --stop saves it standing still, --stop-after ROUNDS "
    "stops it by itself when it comes to this, --timeout S gives up"
)
_PROGRESS: Final = 0.9
"""A round that is no smaller than this share of the smallest so far is none."""


class Convergence:
    """Told of each look at ``query-migrate``."""

    def __init__(self) -> None:
        self.stalled = 0
        """Rounds in a row without progress."""
        self.rounds = 0
        """The round that is under way, as QEMU counts them."""
        self._begun = (0, 0.0)
        """Bytes carried and the time when it was first seen."""
        self._smallest: float | None = None
        self._seconds = 0.0
        """How long the round took in which was written what the last one carried."""
        self._saved = self._written = 0.0
        """Bytes a second."""
        self._total = 0

    def look(self, info: Mapping[str, Any], carried: int, now: float) -> None:
        """
        :param info: ``query-migrate``.
        :param carried: bytes of guest memory so far.
        :param now: seconds, by any clock.
        """
        ram = info.get("ram", {})
        rounds = int(ram.get("dirty-sync-count", 0))
        if rounds <= self.rounds:
            return
        if self.rounds:
            count = rounds - self.rounds
            before, since = self._begun
            seconds = max(now - since, 1e-3) / count
            size = (carried - before) / count
            self._saved, self._written = size / seconds, size / (self._seconds or seconds)
            self._seconds = seconds
            self._judge(size, count)
        self.rounds, self._begun = rounds, (carried, now)
        self._total = int(ram.get("total", 0))

    def _judge(self, size: float, rounds: int) -> None:
        """:param size: bytes that each of the last ``rounds`` carried."""
        if self._smallest is None or size < _PROGRESS * self._smallest:
            self._smallest, self.stalled = size, 0
        else:
            self.stalled += rounds

    def figures(self, file_bytes: int) -> str:
        """How it stands, as a clause."""
        written, saved = memory(round(self._written)), memory(round(self._saved))
        return (
            f"the guest writes {written} a second and {saved} a second are saved; after "
            f"{self.rounds - 1} rounds the file has {memory(file_bytes)}, for "
            f"{memory(self._total)} of RAM"
        )
