"""How much a relay holds: a channel that would only add to the queue does not read on.

What a relay has read and not sent is downtime. With eight channels of 512 KiB packets on a
250 Mbit/s link, eight packets in hand are 134 ms; what is left unread stays in the source's socket,
where QEMU sees it as back-pressure and counts it as unsent.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from ramferry.flows.session.gate import Unwind

WORKERS: Final = len(os.sched_getaffinity(0))
"""Packets that may be inflated and compressed at once even when the queue is full: where codecs
are slower than the link, the queue's limit must not leave a core idle."""


class Outbox:
    """Counts what all channels together hold: packets at work, and those that wait to be sent."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Guards everything here; held for a few additions only."""
        self.changed = threading.Condition(self.lock)
        self.waiting = 0
        """Channels that wait for room: without one, nobody is woken (0.7 µs a packet)."""
        self.held = 0
        """Bytes, as far as known on the outgoing side, that were read and are not sent."""
        self.at_work = 0
        """Packets that are being received, inflated or compressed."""
        self.most: float = float("inf")
        """Bytes above which no packet more is read."""
        self.ended = False

    def limit(self, size: float) -> None:
        """Let channels read on while fewer than ``size`` bytes are held."""
        with self.lock:
            self.most = size
            self.changed.notify_all()

    def slot(self) -> Slot:
        """A place for one channel, whose thread alone uses it."""
        return Slot(self)

    def end(self) -> None:
        """The migration is over: every waiter unwinds."""
        with self.lock:
            self.ended = True
            self.changed.notify_all()


class Slot:
    """One channel's packet in the outbox: ``admit``, ``ready``, ``sent``, one after the other."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.workers = WORKERS
        """Packets at work that are allowed whatever is held: 1 for a channel that neither inflates
        nor compresses."""
        self._payload = 0
        """Incoming bytes of the packet."""
        self._size = 0
        """Outgoing bytes that are held for it."""
        self._growth = 1.0
        """Outgoing bytes per incoming byte of the last packet: what the next one will hold."""

    def admit(self, payload: int) -> None:
        """Called before a payload of so many bytes is received: wait until there is room for it.

        :raise Unwind: the migration is over.
        """
        self._payload = payload
        self._size = size = int(payload * self._growth)
        outbox = self._outbox
        with outbox.lock:
            while not outbox.ended and outbox.held >= outbox.most:
                if outbox.at_work < self.workers:
                    break
                outbox.waiting += 1
                outbox.changed.wait()
                outbox.waiting -= 1
            if outbox.ended:
                raise Unwind
            outbox.held += size
            outbox.at_work += 1

    def ready(self, size: int) -> None:
        """The packet is ready to be sent and has ``size`` bytes, its header included."""
        outbox = self._outbox
        with outbox.lock:
            outbox.at_work -= 1
            outbox.held += size - self._size
            if outbox.waiting:
                outbox.changed.notify_all()
        self._size = size
        self._growth = size / self._payload

    def sent(self) -> None:
        """It has left."""
        outbox = self._outbox
        with outbox.lock:
            outbox.held -= self._size
            if outbox.waiting:
                outbox.changed.notify_all()
