"""What the operator asks of a save."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SaveWish:
    """What the operator asked for."""

    path: Path
    method: str = "zstd"
    level: int | None = None
    channels: int = 4
    replace: bool = False
    resume: bool = False
    """Have the guest as it was once it is saved: let it run on, where it ran."""
    disk_snapshot: bool = False
    """Have its disks go on in overlays, so that their images stay as they were at the save."""
    stop: bool = False
    """Stop the guest first."""
    stop_after: int | None = None
    """Stop it after so many rounds in a row that did not bring the save nearer to its end."""
    timeout: float | None = None
    """Seconds until the save is cancelled."""
