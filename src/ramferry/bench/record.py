"""One migration of a comparison as its document keeps it: result, CPU, and how it went."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from ramferry.control.hooks import Hooks
from ramferry.control.plan import Wish
from ramferry.errors import Cancelled, RamferryError
from ramferry.metrics import MigrationResult
from ramferry.report.comparison import Run, TimelinePoint
from ramferry.report.forecast import Sample


class Carries(Protocol):
    """A rig."""

    def carry(self, wish: Wish, hooks: Hooks) -> MigrationResult:
        """Migrate once."""


def recorded(rig: Carries, wish: Wish, stop: threading.Event) -> Run:
    """Migrate once; a run that fails is a run with its sentence.

    :raise Cancelled: ``stop`` was set.
    """
    points: list[TimelinePoint] = []
    hooks = Hooks(stop=stop, on_sample=_into(points))
    try:
        result = rig.carry(wish, hooks)
    except Cancelled:
        raise
    except RamferryError as error:
        return Run(None, timeline=tuple(points), error=str(error))
    points.append(_last(result))
    return Run(
        result,
        _seconds(result.send_cpu_percent, result),
        _seconds(result.recv_cpu_percent, result),
        tuple(points),
    )


def _into(points: list[TimelinePoint]) -> Callable[[Sample], None]:
    def note(sample: Sample) -> None:
        if sample.status in ("none", "setup"):
            return  # nothing has been counted yet, what is left included
        points.append(
            TimelinePoint(
                sample.seconds,
                sample.iteration,
                sample.status,
                sample.wire_bytes,
                sample.remaining_bytes,
                sample.carried_bytes,
            )
        )

    return note


def _last(result: MigrationResult) -> TimelinePoint:
    seconds = result.total_ms / 1000
    page_size = 4096
    carried = round(result.pages_per_second * seconds) * page_size
    wire = result.wire_bytes or None
    return TimelinePoint(seconds, result.iterations, "completed", wire, 0, carried)


def _seconds(percent: float | None, result: MigrationResult) -> float | None:
    return None if percent is None else percent / 100 * result.total_ms / 1000
