"""Whether a save of a running guest will come to an end, judged by its rounds. Pure.

Each round carries what was written during the last one. As long as rounds become smaller, one will
fit the downtime limit. If they do not, the guest writes as fast as it is saved, and the save would
never end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ramferry.units import memory

PATIENT_ROUNDS: Final = 3
"""Rounds without progress after which a person is told; a single round may be larger by chance."""
WHAT_HELPS: Final = (
    "`stop` at its monitor lets this save end, --stop saves it standing still, --stop-after ROUNDS "
    "stops it by itself when it comes to this, --timeout S gives up"
)
_PROGRESS: Final = 0.9
"""A round counts as progress if it is smaller than this share of the smallest one so far."""


class Convergence:
    """Counts the rounds of one save without progress; ``look`` is called with each
    ``query-migrate``."""

    def __init__(self) -> None:
        self.stalled = 0
        """Rounds in a row without progress."""
        self.rounds = 0
        """The round that is under way, as QEMU counts them."""
        self._begun = (0, 0.0)
        """Bytes carried, and the time, when that round was first seen."""
        self._smallest: float | None = None
        self._seconds = 0.0
        """Seconds of the round in which the guest wrote what the last round carried."""
        self._saved = self._written = 0.0
        """Rates of the last round, in bytes a second."""
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
        """:param size: bytes that each of the last ``rounds`` rounds carried."""
        if self._smallest is None or size < _PROGRESS * self._smallest:
            self._smallest, self.stalled = size, 0
        else:
            self.stalled += rounds

    def figures(self, file_bytes: int) -> str:
        """A clause with the rates and the file's size."""
        written, saved = memory(round(self._written)), memory(round(self._saved))
        return (
            f"the guest writes {written} a second and {saved} a second are saved; after "
            f"{self.rounds - 1} rounds the file has {memory(file_bytes)}, for "
            f"{memory(self._total)} of RAM"
        )
