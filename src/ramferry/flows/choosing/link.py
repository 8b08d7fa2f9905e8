"""The link's rate, known from the times in which it alone kept the channels waiting."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ramferry.policy.link import LinkRate
from ramferry.transport.connection import Connection
from ramferry.transport.waits import waits_of

FULL: Final = 0.8
"""Channels that have to wait in their sends at a time, on average, for the link to count as full,
and connections with bytes on their way that the far side would take; one channel compresses
between two sends, so that it takes ``FULL_ALONE``. With four channels both were 1.3 to 3.4 where
tbf on a veth let 250 Mbit/s through, with none as with zstd, in intervals of 0.1 and of 0.25 s;
over loopback, as fast as two cores go, 0.04 to 1.3 waited and 0.0 to 0.11 were busy (guests of 512
MiB, QEMU 7.2, Linux 6.18)."""
FULL_ALONE: Final = 0.5
LEAST, FIRST = 0.1, 0.04
"""Seconds that an interval has at least, and the first one."""
_LATEST: Final = 3
"""Full intervals of which the best counts: where the hosts have no cores left, a link rests now and
then though senders wait."""
_BEGUN: Final = 128 * 1024
"""Bytes after which pages are on their way."""


@dataclass(frozen=True, slots=True)
class _Look:
    """Sums over all connections."""

    at: float
    sent: int
    waited: float
    """Seconds spent in sends."""
    busy: float
    """Seconds in which the link had work: bytes on their way to a peer that reads."""


class LinkGauge:
    """Measures it from call to call; used by one thread at a time."""

    def __init__(self, cap: float = 0.0) -> None:
        """:param cap: bytes a second that may be sent; 0: as many as the link carries."""
        self._cap = cap or math.inf
        self._last: _Look | None = None
        self._rate = LinkRate()
        self._full: deque[float] = deque(maxlen=_LATEST)
        """Rates of the latest intervals in which it was full."""

    def look(self, connections: Iterable[Connection], sent: int, waited: float) -> LinkRate:
        """What is known now; a cap is known.

        :param sent: bytes so far; for connections of which the kernel does not tell what arrived.
        :param waited: seconds so far in which a channel was in a send, added up over them.
        """
        busy, acked, count = 0.0, 0, 0
        for one in connections:
            count += 1
            if (waits := waits_of(one.fileno())) is not None:
                busy += waits.busy - waits.by_peer
                acked += waits.acked
        # what lies in a buffer was not carried; and packets are counted whole, when they are sent
        now, last = _Look(time.monotonic(), acked or sent, waited, busy), self._last
        if last is not None and now.at < last.at + (LEAST if self._rate.rate else FIRST):
            return self._known()
        self._last = now
        # not of the interval in which the first pages came: TCP has yet to find its window
        if last is not None and last.sent >= _BEGUN and last.at < now.at and last.sent < now.sent:
            self._weigh(last, now, FULL if count > 1 else FULL_ALONE)
        return self._known()

    def _known(self) -> LinkRate:
        if self._cap < (self._rate.rate if self._rate.known else math.inf):
            return LinkRate(self._cap, known=True)
        return self._rate

    def _weigh(self, last: _Look, now: _Look, full: float) -> None:
        seconds = now.at - last.at
        least = min(now.waited - last.waited, now.busy - last.busy)
        blocked = least >= full * seconds
        rate = (now.sent - last.sent) / seconds
        if blocked:
            self._full.append(rate)
            rate = max(self._full)
        self._rate = self._rate.seen(now.at, rate, blocked)
