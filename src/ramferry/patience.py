"""How long somebody is waited for, by a clock that stands still with this process.

A process that was stopped (Ctrl-Z, SIGSTOP) or whose host was suspended finds every deadline past
when it goes on, though nobody it waits for had a moment to answer. So a wait is not measured from
end to end: whoever waits looks now and then, and each look counts for what such a step can honestly
have taken at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

LONGEST_STEP: Final = 1.0
"""Seconds that one step between two looks may take, on a busy host too; the loops here look every
0.02 to 0.25 s."""


class Patience:
    """Counts the seconds of one wait; it is looked at by one thread, at least once a step."""

    def __init__(
        self,
        seconds: float,
        *,
        longest_step: float = LONGEST_STEP,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param seconds: after which the wait is over.
        :param longest_step: what a step counts for at most; longer where one may block, for
            example on a question with a limit of its own.
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
        """Something came: the wait begins anew."""
        self._spent = 0.0
        self._last = self._clock()
