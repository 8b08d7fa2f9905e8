"""The options of a save."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ramferry.control.archive.channels import channels_here


@dataclass(frozen=True, slots=True)
class SaveWish:
    """What the operator asked for."""

    path: Path
    method: str = "zstd"
    level: int | None = None
    channels: int = field(default_factory=channels_here)
    replace: bool = False
    resume: bool = False
    """Put the guest back as it was after the save: if it ran, let it run on."""
    disk_snapshot: bool = False
    """Switch its disks to overlays, so that their images stay as they were at the save."""
    stop: bool = False
    """Stop the guest first."""
    stop_after: int | None = None
    """Stop the guest after this many rounds in a row without progress; None: never."""
    timeout: float | None = None
    """Seconds until the save is cancelled; None: never."""
