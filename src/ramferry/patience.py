"""How long somebody is waited for, by a clock that stands still with this process.

A process that was stopped (Ctrl-Z, SIGSTOP), or whose host was suspended, would find every deadline
past when it goes on, though its peers had no time to answer. So a wait is not measured from end to
end: the waiting thread looks repeatedly, and the time since its last look counts up to the longest
that one such step may take.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

LONGEST_STEP: Final = 1.0
"""Seconds that one step between two looks may take, on a busy host too; the loops here look every
0.02 to 0.25 s."""


class Patience:
    """Counts the seconds of one wait; one thread looks at it, at least once a step."""

    def __init__(
        self,
        seconds: float,
        *,
        longest_step: float = LONGEST_STEP,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param seconds: the length of the wait.
        :param longest_step: most seconds that a step counts for; longer if a step may block, for
            example on a question with its own time limit.
        """
        self.seconds = seconds
        self._longest = longest_step
        self._clock = clock
        self._last = clock()
        self._spent = 0.0

    @property
    def spent(self) -> float:
        """Seconds waited so far; a look."""
        now = self._clock()
        self._spent += min(now - self._last, self._longest)
        self._last = now
        return self._spent

    @property
    def left(self) -> float:
        """Seconds that are left, at least 0; a look."""
        return max(0.0, self.seconds - self.spent)

    @property
    def over(self) -> bool:
        """Whether the wait has lasted long enough; a look."""
        return self.spent >= self.seconds

    def restart(self) -> None:
        """Begin the wait anew, because something came."""
        self._spent = 0.0
        self._last = self._clock()
