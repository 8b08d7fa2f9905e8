"""How much a relay holds: a channel that would only add to the queue does not read on.

What a relay has read and not sent is downtime. With eight channels of 512 KiB packets on a
250 Mbit/s link, eight packets in hand are 134 ms; what is left unread stays in the source's socket,
where QEMU sees it as back-pressure and counts it as unsent.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from ramferry.flows.gate import Unwind

WORKERS: Final = len(os.sched_getaffinity(0))
"""Packets that may be inflated and compressed at once even when the queue is full: where codecs
are slower than the link, the queue's limit must not leave a core idle."""


class Outbox:
    """Counts what all channels together hold: packets at work, and those that wait to be sent."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held = 0
        self._at_work = 0
        self._limit: float = float("inf")
        self._ended = False

    @property
    def held(self) -> int:
        """Bytes, as far as known on the outgoing side, that were read and are not sent."""
        return self._held

    def limit(self, size: float) -> None:
        """Let channels read on while fewer than ``size`` bytes are held."""
        with self._changed:
            self._limit = size
            self._changed.notify_all()

    def admit(self, size: int, workers: int = WORKERS) -> None:
        """Called before a payload is received: wait until there is room, then hold ``size`` bytes.

        :param size: the packet's expected size on the outgoing side.
        :param workers: packets at work that are allowed whatever is held: 1 where nothing is
            inflated or compressed.
        :raise Unwind: the migration is over.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or self._held < self._limit or self._at_work < workers
            )
            if self._ended:
                raise Unwind
            self._held += size
            self._at_work += 1

    def ready(self, expected: int, size: int) -> None:
        """A packet of which ``expected`` bytes were held is ready and has ``size``."""
        with self._changed:
            self._at_work -= 1
            self._held += size - expected
            self._changed.notify_all()

    def sent(self, size: int) -> None:
        """A packet of ``size`` bytes has left."""
        with self._changed:
            self._held -= size
            self._changed.notify_all()

    def end(self) -> None:
        """The migration is over: every waiter unwinds."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
