"""Decides when to stop a guest that is being sent, and counts its rounds.

A round of N pages that took T seconds carried C = N · page size / T bytes of guest memory a second.
What was written meanwhile, D bytes, would take D / C; once that fits the downtime limit, the guest
is stopped and the rest is sent. QEMU decides in the same way.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

_SHORTEST: Final = 0.05
"""Shortest round, in seconds, whose rate counts; a shorter one mostly waits for its mark."""


@dataclass(frozen=True, slots=True)
class Precopy:
    """A sender's settings for the rounds and their end."""

    downtime_limit_ms: int = 300
    pause_before_switchover: bool = False
    """Whether to wait for ``Sender.proceed`` once the guest stands still."""


class Rounds:
    """Rates and counts of the rounds; written by the sender's thread, read by any."""

    def __init__(self, page_size: int) -> None:
        self.page_size = page_size
        self.syncs = 0
        """How often the dirty pages were collected, including the start: QEMU's
        dirty-sync-count."""
        self.bandwidth = 0.0
        """Bytes of guest memory carried a second; 0 before the first round's end."""
        self.dirty_rate = 0.0
        """Pages written a second, over the last round."""
        self._began = time.monotonic()
        self.pages = 0
        """Number of pages to send in this round."""
        self._until = 0
        """Pages that will have been sent at this round's end, since the start: one number, so that
        ``left`` never mixes two rounds."""

    def begin(self, pages: int, sent: int) -> None:
        """A round of ``pages`` pages begins, which were collected at this moment.

        :param sent: pages sent before.
        """
        now = time.monotonic()
        if self.syncs:
            self.dirty_rate = pages / max(now - self._began, 1e-3)
        self.syncs += 1
        self.pages, self._until = pages, sent + pages
        self._began = now

    def end(self) -> None:
        """The round's pages were sent."""
        seconds = time.monotonic() - self._began
        if seconds >= _SHORTEST or not self.bandwidth:
            self.bandwidth = self.pages * self.page_size / max(seconds, 1e-6)

    def left(self, sent: int) -> int:
        """Pages of this round that were not sent yet.

        :param sent: pages sent so far.
        """
        return max(0, self._until - sent)

    def downtime_ms(self, pages: int) -> float:
        """Milliseconds that sending ``pages`` pages would take."""
        return pages * self.page_size * 1000 / self.bandwidth if self.bandwidth else 0.0
