"""Bounds how much a relay holds: a channel that would only add to the queue does not read on.

What a relay has read and not sent is downtime. With eight channels of 512 KiB packets on a 250
Mbit/s link, eight packets in hand are 134 ms; what is left unread stays in the source's socket,
where QEMU sees it as back-pressure and counts it as unsent.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from ramferry.allowance import busy_threads
from ramferry.flows.session.gate import Unwind

WORKERS: Final = busy_threads()
"""Packets that may be inflated and compressed at once though enough is held, as long as less than
the limit is ready to be sent: if codecs are slower than the link, no core is left idle."""


class Outbox:
    """Counts what all channels together hold: packets at work, and those that wait to be sent.

    Channels that wait stand in a queue, and each is woken when its packet has been admitted, not
    before. One condition that woke all of them cost 8 to 10 wake-ups a packet with 16 channels, for
    as long as the limit was small (``bench ceiling``, none → qatzip, on 2 cores).
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Guards everything here; held for a few additions only."""
        self.queue: deque[Slot] = deque()
        """The slots that wait for room, first come first. While there are any, the first one has no
        room. If it is empty, nobody is looked for, which keeps a packet's way short."""
        self.held = 0
        """Bytes that were read and not sent yet, by their outgoing size as far as that is known."""
        self.unsent = 0
        """Those of them that are ready to be sent."""
        self.at_work = 0
        """Packets that are being received, inflated or compressed."""
        self.most: float = float("inf")
        """Bytes to be held; above that no more packets are read than keep the cores at work, and
        none while more than that is unsent."""
        self.ended = False

    def limit(self, size: float) -> None:
        """Set the limit: see ``most``."""
        with self.lock:
            self.most = size
            self.admit_waiting()

    def slot(self) -> Slot:
        """A slot for one channel, to be used by its thread only."""
        return Slot(self)

    def end(self) -> None:
        """The migration is over: every thread that waits raises ``Unwind``."""
        with self.lock:
            self.ended = True
            while self.queue:
                self.queue.popleft().turn.release()

    def admit_waiting(self) -> None:
        """Admit those that wait and have room now, and wake them; called with the lock."""
        queue = self.queue
        while queue and self.unsent <= self.most:
            if self.held >= self.most and self.at_work >= queue[0].workers:
                return
            slot = queue.popleft()
            self.held += slot.size
            self.at_work += 1
            slot.turn.release()


class Slot:
    """One channel's packet in the outbox: call ``admit``, ``ready`` and ``sent`` in this order."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.workers = WORKERS
        """How many packets may be at work though enough is held: 1 for a channel that neither
        inflates nor compresses."""
        self.size = 0
        """Outgoing bytes that are held for the packet, or will be once it is admitted."""
        self.turn = threading.Lock()
        """Held by the channel, but for the moment in which it is woken: whoever admits its packet
        releases it."""
        self.turn.acquire()
        self._payload = 0
        """Incoming bytes of the packet."""
        self._growth = 1.0
        """Outgoing bytes per incoming byte of the last packet, which is assumed for the next
        one."""

    def admit(self, payload: int) -> None:
        """Wait until there is room for a payload of ``payload`` bytes; called before it is
        received.

        :raise Unwind: the migration is over.
        """
        self._payload = payload
        self.size = size = int(payload * self._growth)
        outbox = self._outbox
        with outbox.lock:
            if outbox.ended:
                raise Unwind
            full = outbox.held >= outbox.most and outbox.at_work >= self.workers
            if waits := full or outbox.unsent > outbox.most or bool(outbox.queue):
                outbox.queue.append(self)
            else:
                outbox.held += size
                outbox.at_work += 1
        if waits:
            self.turn.acquire()
            if outbox.ended:
                raise Unwind

    def ready(self, size: int) -> None:
        """The packet is ready to be sent and has ``size`` bytes, its header included."""
        outbox = self._outbox
        with outbox.lock:
            outbox.at_work -= 1
            outbox.held += size - self.size
            outbox.unsent += size
            if outbox.queue:
                outbox.admit_waiting()
        self.size = size
        self._growth = size / self._payload

    def sent(self) -> None:
        """The packet was sent, or waits for something other than room on the wire."""
        outbox = self._outbox
        with outbox.lock:
            outbox.held -= self.size
            outbox.unsent -= self.size
            if outbox.queue:
                outbox.admit_waiting()
