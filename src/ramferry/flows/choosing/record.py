"""What was chosen in the course of a migration, bounded however often that changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from ramferry.metrics.choosing import ChoiceEntry
from ramferry.policy.choice import Choice
from ramferry.policy.measurements import Candidate, Measurements, PageClass

MOST: Final = 200
"""Most entries that are kept."""


@dataclass(slots=True)
class Record:
    """The entries, and how many changes there were; used by one thread, read by others."""

    begun: float
    """When the migration's first byte came, by ``time.monotonic``."""
    changes: int = 0
    entries: tuple[ChoiceEntry, ...] = ()
    """The oldest first. Once there are ``MOST``, that which was the shortest in force goes."""

    def add(self, choice: Choice, by: Measurements, now: float) -> None:
        """Note a choice that was published at ``now``."""
        entry = ChoiceEntry(
            seconds=round(now - self.begun, 3),
            methods=_named(choice.methods),
            rate=_finite(choice.rate),
            limited_by=choice.limited_by,
            runner_up=_named(choice.runner_up),
            runner_up_rate=_finite(choice.runner_up_rate),
            link=_finite(by.link),
            link_known=by.link_known,
            near_cores=round(by.near.cores, 2),
            far_cores=_finite(by.far.cores, 2),
        )
        if self.entries and self.entries[-1].methods != entry.methods:
            self.changes += 1
        kept = list(self.entries)
        if len(kept) >= MOST:
            del kept[_shortest(kept)]
        self.entries = (*kept, entry)


def _shortest(entries: list[ChoiceEntry]) -> int:
    """Which entry, but for the first and the last, the next one followed the soonest."""
    gaps = [after.seconds - one.seconds for one, after in pairwise(entries[1:])]
    return 1 + min(range(len(gaps)), key=gaps.__getitem__)


def _named(methods: Mapping[PageClass, Candidate]) -> dict[str, str]:
    return {kind.value: str(candidate) for kind, candidate in methods.items()}


def _finite(figure: float, digits: int = 1) -> float:
    """A figure that JSON has; 0 for one without a bound, which is not known."""
    return round(figure, digits) if figure < float("inf") else 0.0
