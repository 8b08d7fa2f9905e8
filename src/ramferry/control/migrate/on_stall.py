"""What is done once a migration stalls."""

from __future__ import annotations

from enum import Enum


class OnStall(Enum):
    """What ``migrate --on-stall`` names."""

    WAIT = "wait"
    THROTTLE = "throttle"
    PAUSE = "pause"
    CANCEL = "cancel"
