"""What is left of a migration, round by round, and whether it still shrinks. Pure: samples in.

What QEMU tells as remaining falls to nothing in every round, because it does not count what the
guest writes meanwhile. What tells of progress is what is left when a round begins, just after QEMU
has collected the pages that were written: that is what would be sent if the guest stood still.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from ramferry.forecast.eta import MigrationSample

MARGIN: Final = 0.04
"""What is left has shrunk only if it is less by this share than the least so far."""

RATE_SECONDS: Final = 2.0
"""Time over which the rate is smoothed: QEMU's own, over 100 ms, jumps about."""

COUNTED_SECONDS: Final = 0.1
"""Shortest time over which a rate is told."""


class Rounds:
    """Follows the rounds of one migration."""

    def __init__(self) -> None:
        self.number = 0
        """Rounds begun, as QEMU counts them."""
        self.begun_with = 0
        """Bytes that were left when the present round began."""
        self.rate = 0.0
        """Bytes of guest memory carried a second, smoothed; 0 before it is known."""
        self.least = 0
        """The least that was left when a round began, since what is left shrank last."""
        self._shrunk: tuple[int, float, int] | None = None
        """The last time that what is left had become less by the margin: bytes, seconds, round."""
        self._samples: deque[MigrationSample] = deque()

    def take(self, sample: MigrationSample) -> bool:
        """Take in the newest sample; return whether it is the first one of another round."""
        before = self._samples[-1] if self._samples else None
        self._smooth(sample)
        if sample.dirty_sync_count <= self.number:
            return False
        self.begun_with = _left(sample) + self._sent_since(before, sample)
        self.number = sample.dirty_sync_count
        if self._shrunk is None or self.begun_with < self._shrunk[0] * (1 - MARGIN):
            self._shrunk = (self.begun_with, sample.seconds, self.number)
            self.least = self.begun_with
        self.least = min(self.least, self.begun_with)
        return True

    def stands_for(self, now: float) -> tuple[float, int]:
        """Since when what is left has not shrunk.

        :return: seconds, and how many rounds have begun since with no less.
        """
        if self._shrunk is None:
            return 0.0, 0
        _, seconds, number = self._shrunk
        return now - seconds, self.number - number

    def _sent_since(self, before: MigrationSample | None, sample: MigrationSample) -> int:
        """Bytes that were sent in a round before its first sample: what was sent since the sample
        before, but for the rest of its round, shared by the rounds that have begun since."""
        if before is None or not self.number:
            return 0
        sent = sample.carried_bytes - before.carried_bytes - before.remaining_bytes
        return max(0, sent) // (sample.dirty_sync_count - self.number)

    def _smooth(self, sample: MigrationSample) -> None:
        self._samples.append(sample)
        while sample.seconds - self._samples[0].seconds > RATE_SECONDS and len(self._samples) > 2:
            self._samples.popleft()
        first = self._samples[0]
        if (span := sample.seconds - first.seconds) >= COUNTED_SECONDS:
            self.rate = max(0.0, (sample.carried_bytes - first.carried_bytes) / span)


def _left(sample: MigrationSample) -> int:
    return sample.remaining_bytes + sample.disk_bytes
