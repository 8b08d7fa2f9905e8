"""The status of a migration that is sent from here, and how long its parts took."""

from __future__ import annotations

import time
from collections.abc import Callable

from ramferry.flows.ends.precopy import Rounds
from ramferry.flows.outlet.outgoing import Outgoing
from ramferry.metrics import SendProgress
from ramferry.vocabulary import ENDED, Status


class SendRecord:
    """Status and times; written by the sender's thread, read by any."""

    def __init__(self, on_status: Callable[[Status], None]) -> None:
        """:param on_status: called with each new status, in the sender's thread."""
        self._on_status = on_status
        self.status: Status = "setup"
        self._began = time.monotonic()
        self._ended = self._setup = self._stopped = 0.0
        self._downtime_ms: int | None = None

    @property
    def stopped(self) -> bool:
        """Whether the guest was stopped for the switchover."""
        return bool(self._stopped)

    def to(self, status: Status) -> None:
        """Enter a status."""
        if status in ENDED:
            self._ended = self._ended or time.monotonic()
        self.status = status
        self._on_status(status)

    def set_up(self) -> None:
        """The setup is over: every connection is open, and the block list was sent."""
        self._setup = time.monotonic()

    def stop(self) -> None:
        """The guest is about to be stopped."""
        self._stopped = time.monotonic()

    def hand_over(self) -> None:
        """The destination has taken the guest over.

        The time ends here, as QEMU's does: no guest waits for what is cleared away afterwards.
        """
        self._ended = time.monotonic()
        self._downtime_ms = round((self._ended - self._stopped) * 1000)

    def progress(self, rounds: Rounds, outgoing: Outgoing, ram: int) -> SendProgress:
        """Where the migration stands.

        :param ram: bytes of the guest's memory.
        """
        # first of all: with an end's status go the times of that end, which were set before it
        status = self.status
        ended = self._ended or time.monotonic()
        return SendProgress(
            status=status,
            setup_time_ms=round((self._setup - self._began) * 1000) if self._setup else 0,
            total_time_ms=round((ended - self._began) * 1000),
            downtime_ms=self._downtime_ms,
            expected_downtime_ms=round(rounds.downtime_ms(rounds.pages)),
            total_bytes=ram,
            remaining_bytes=rounds.left(outgoing.pages) * rounds.page_size,
            dirty_sync_count=rounds.syncs,
            dirty_pages_rate=round(rounds.dirty_rate),
            counters=outgoing.counters(),
        )
