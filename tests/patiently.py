"""Waiting for a condition, by a clock that stands still with the process.

A thread that waits for others may be stopped together with them, or be the first to run again on a
busy machine: what it did not see of the time does not count against them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ramferry.patience import Patience

SETTLE: Final = 10.0
"""Seconds within which anything ends that nothing hinders."""
LONGEST_STEP: Final = 0.1
"""Most seconds that count between two looks."""
LOOK: Final = 0.002
"""Seconds from look to look."""


def until(
    met: Callable[[], bool], seconds: float = SETTLE, what: str = "", look: float = LOOK
) -> None:
    """Wait for a condition, or fail."""
    wait = Patience(seconds, longest_step=LONGEST_STEP)
    while not met():
        assert not wait.over, f"not within {seconds} s: {what or met}"
        time.sleep(look)
