"""What was done about a migration that stalled."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stalled:
    """One stall, and what it cost the guest."""

    action: str
    """What ``migrate --on-stall`` named: "wait", "throttle", "pause" or "cancel"."""
    seconds: float
    """When it was seen, since the beginning."""
    left_bytes: int
    """Guest memory that was left then."""
    lost_seconds: float = 0.0
    """Time of each vCPU that auto-converge took: the share of each second, added up."""
    most_percent: int = 0
    """The largest share that it took."""
