"""Hands batches out to channels: each takes the next one when it has sent the last one."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from ramferry.flows.contracts import Batch


class Handout:
    """One round's batches at a time, shared by all channels' threads.

    Channels draw from one iterator under one lock. A thread that feeds them through a queue would
    cost a wake-up for each packet: a source of 2 GiB, method none, two channels took 1.6 s of CPU
    in place of 2.1 s; part of that is that offsets are compared once.
    """

    def __init__(self) -> None:
        self._batches: Iterator[Batch] | None = None
        self._taken: set[int] = set()
        """Threads that still work on a batch."""
        self._ended = False
        lock = threading.Lock()
        self._changed = threading.Condition(lock)
        """Signalled when batches are added or the handout ends."""
        self._sent = threading.Condition(lock)
        """Signalled when every batch was taken and sent."""

    def give(self, batches: Iterable[Batch]) -> None:
        """Add batches; all earlier ones must be ``done``."""
        with self._changed:
            self._batches = iter(batches)
            self._changed.notify_all()

    def done(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until every batch was taken, and sent or given up; True if
        so."""
        with self._sent:
            return self._sent.wait_for(lambda: self._batches is None and not self._taken, timeout)

    def next(self) -> Batch | None:
        """The next batch for the calling thread, which must be done with its last one; None at the
        end.

        :raise Exception: whatever the iterator raises; it is not drawn from again.
        """
        me = threading.get_ident()
        with self._changed:
            self._taken.discard(me)
            while not self._ended:
                if self._batches is not None and (batch := self._draw(self._batches)) is not None:
                    self._taken.add(me)
                    return batch
                if not self._taken:
                    self._sent.notify_all()
                self._changed.wait()
            return None

    def _draw(self, batches: Iterator[Batch]) -> Batch | None:
        batch = None
        try:
            batch = next(batches, None)
            return batch
        finally:
            if batch is None:
                self._batches = None

    def drop(self) -> None:
        """Give up the batches that were not taken yet."""
        with self._changed:
            self._batches = None
            self._sent.notify_all()

    def end(self) -> None:
        """End the handout: ``next`` returns None from now on."""
        with self._changed:
            self._ended = True
            self._batches = None
            self._changed.notify_all()
            self._sent.notify_all()
