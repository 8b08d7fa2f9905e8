"""The meeting of the main channel's sync marks and the multifd channels' SYNC packets.

A destination that reaches a mark waits for one SYNC on every channel, with its monitor blocked, and
if one of them never comes, only SIGKILL ends it. So mark k may pass only when the far side has
consumed every channel's SYNC k, and what follows SYNC k on a channel may pass only after mark k. A
mark that is held when the migration ends is never sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable


class Unwind(Exception):
    """Raised in threads of a migration that has failed or is over, so that they end."""


class SyncGate:
    """Counts marks, and SYNCs of each channel; a thread that is early waits.

    Main and the channels wait for different things, and are woken apart: main by the last SYNC that
    its mark waits for, the channels by the mark. All channels that wait at one time wait for the
    same mark, because each had to wait for the mark before.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        """Guards everything here, but for reading ``passed``, which only grows, and ``gated``."""
        self._synced = threading.Condition(self._lock)
        """Main waits here."""
        self._marked = threading.Condition(self._lock)
        """Channels wait here."""
        self._arrived: dict[int, int] = {}
        self._channels: frozenset[int] | None = None
        self.passed = 0
        """Number of marks that passed; only ``release`` changes it."""
        self.held_seconds = 0.0
        """Seconds from each mark's ``hold`` to its ``release``, added up; as long, main stood
        still."""
        self.followed_seconds = 0.0
        """Seconds that channels waited for marks, added up over them."""
        self._held_since = 0.0
        self._held: int | None = None
        self._waiting = 0
        self._open = False
        self._ended = False

    @property
    def gated(self) -> bool:
        """False once marks are no longer held."""
        return not self._open

    @property
    def waiting(self) -> str:
        """A phrase that says who waits for what; empty if nobody waits."""
        with self._lock:
            if self._held is not None:
                late = ", ".join(f"multifd {id}" for id in self._late(self._held))
                return f"sync mark {self._held} waits for the SYNC of {late or 'every channel'}"
            if self._waiting:
                return f"{self._waiting} channels wait for sync mark {self.passed} on main"
            return ""

    def expect(self, channels: Iterable[int]) -> None:
        """Name the channels that every mark waits for; called before the first mark."""
        with self._lock:
            self._channels = frozenset(channels)

    def arrive(self, channel: int) -> None:
        """A channel's next SYNC was sent on."""
        with self._lock:
            self._arrived[channel] = self._arrived.get(channel, 0) + 1
            if self._held is not None and not self._late(self._held):
                self._synced.notify()

    def follow(self, syncs: int) -> None:
        """Called before a channel that has sent ``syncs`` SYNCs sends more: wait until their marks
        have passed."""
        if self.passed >= syncs:
            return
        begun = time.monotonic()
        with self._lock:
            self._waiting += 1
            self._wait(self._marked, lambda: self._open or self.passed >= syncs)
            self._waiting -= 1
            self.followed_seconds += time.monotonic() - begun

    def hold(self, index: int) -> None:
        """Called before mark ``index`` is sent: wait for that SYNC of every channel."""
        with self._lock:
            self._held_since = time.monotonic()
            self._held = index
            self._wait(self._synced, lambda: self._open or not self._late(index))
            self._held = None

    def release(self, index: int) -> None:
        """Called after mark ``index`` was sent: the channels may go on."""
        with self._lock:
            self.held_seconds += time.monotonic() - self._held_since
            self.passed = index + 1
            self._marked.notify_all()

    def open(self) -> None:
        """Hold nothing any more, because main's marks cannot be seen."""
        with self._lock:
            self._open = True
            self._wake()

    def end(self) -> None:
        """The migration is over: every thread that waits, now or later, raises ``Unwind``."""
        with self._lock:
            self._ended = True
            self._wake()

    def _late(self, index: int) -> list[int]:
        """The channels whose SYNC of mark ``index`` has not arrived."""
        channels = self._channels or ()
        return sorted(id for id in channels if self._arrived.get(id, 0) <= index)

    def _wake(self) -> None:
        self._synced.notify_all()
        self._marked.notify_all()

    def _wait(self, condition: threading.Condition, met: Callable[[], bool]) -> None:
        condition.wait_for(lambda: self._ended or met())
        if self._ended:
            raise Unwind
