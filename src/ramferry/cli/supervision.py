"""A relay's manager hears that it is ready, what is under way, and that it lives."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ramferry.flows.relay import RelayObserver
from ramferry.metrics import RelayCounters, RelayResult
from ramferry.transport.address import Address
from ramferry.transport.notify import ALIVE, READY, STOPPING, Notifier

_EVERY: Final = 2.0
"""Seconds between two reports of what is under way: the manager tells each to whoever listens."""
_FED: Final = 0.5
"""After which part of the watchdog's time it is fed."""


class Supervision:
    """Stands between a relay and the observer that it had, and tells a manager as well."""

    def __init__(
        self,
        observer: RelayObserver,
        notifier: Notifier,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._observer = observer
        self._notifier = notifier
        self._clock = clock
        self._under_way: dict[str, RelayCounters] = {}
        """By migration."""
        self._carried = self._failed = 0
        self._address = ""
        self._ends = ""
        self._next_report = self._next_meal = 0.0

    def listening(self, address: Address) -> None:
        """See ``Observer``."""
        self._observer.listening(address)
        self._address = str(address)
        self._notifier.tell(READY, self._status())

    def progress(self, counters: RelayCounters) -> None:
        """See ``Observer``."""
        self._observer.progress(counters)
        self._under_way[counters.migration] = counters
        if self._clock() >= self._next_report:
            self._report()

    def failing(self, migration: str, error: str) -> None:
        """See ``RelayObserver``."""
        self._observer.failing(migration, error)

    def finished(self, result: RelayResult) -> None:
        """See ``RelayObserver``."""
        self._observer.finished(result)
        self._under_way.pop(result.migration, None)
        if result.completed:
            self._carried += 1
        else:
            self._failed += 1
        self._report()

    def note(self, text: str) -> None:
        """See ``Observer``."""
        self._observer.note(text)

    def turned(self) -> None:
        """The relay's loop has turned: the watchdog is fed, if it is time."""
        if self._notifier.watchdog and self._clock() >= self._next_meal:
            self._next_meal = self._clock() + self._notifier.watchdog * _FED
            self._notifier.tell(ALIVE)

    def stopping(self, why: str) -> None:
        """The relay takes no new migration and ends; called in its loop's thread."""
        self._ends = f"{why}: no new migration is taken; "
        self._notifier.tell(STOPPING, self._status())

    def reloading(self) -> None:
        """Credentials are read again; ``reloaded`` follows."""
        self._notifier.reloading()

    def reloaded(self) -> None:
        """They were, or the former ones stay."""
        self._notifier.tell(READY, self._status())

    def _report(self) -> None:
        if self._notifier.listens:
            self._next_report = self._clock() + _EVERY
            self._notifier.tell(self._status())

    def _status(self) -> str:
        told = [_told(counters) for counters in self._under_way.values()]
        now = ", ".join(told) or f"listening on {self._address}"
        return f"STATUS={self._ends}{now}; {self._carried} carried, {self._failed} failed"


def _told(counters: RelayCounters) -> str:
    return (
        f"migration {counters.migration}: {counters.normal_bytes / 1e6:.0f} MB of pages as"
        f" {counters.bytes_out / 1e6:.0f} MB in {counters.seconds:.0f} s"
    )
