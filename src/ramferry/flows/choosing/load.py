"""How busy the end is that inflates: what it tells the end that compresses."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Final

from ramferry.flows.choosing.cores import Cores
from ramferry.flows.choosing.costs import ByteCost
from ramferry.flows.session.session import Session
from ramferry.wire.relay_messages import Load

EVERY: Final = 0.5
"""Seconds between two messages."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class LoadGauge:
    """Measures it for one migration; used by one thread."""

    def __init__(self, session: Session, token: bytes) -> None:
        """:param token: the migration's, which hides the host's identity."""
        self._session = session
        self._cores = Cores(session.settings.cpu_limit)
        self._cost = ByteCost(session.tally, comes=True)
        self._host = host_mark(token)
        self._next = 0.0
        self._inflated = (0.0, 0.0)
        """Seconds in decoders and bytes of pages they made, at the last message."""
        self._decode = 0.0

    def due(self) -> Load | None:
        """What is to be told now; None if it is not time yet."""
        now = time.monotonic()
        if now < self._next:
            return None
        self._next = now + EVERY
        spare, cost = self._cores.spare(), self._cost.look()
        self._measure()
        # what lies in buffers, at what it cost lately
        unread = sum(one.unread() for one in self._session.sources[1:])
        behind = unread * (self._decode + 2 * cost) / max(spare.cores, 0.05)
        return Load(
            cores=round(spare.cores, 3),
            used=round(max(spare.used, 0.0), 3),
            byte_cost=cost,
            decode=self._decode,
            behind=round(behind, 4),
            host=self._host,
        )

    def _measure(self) -> None:
        clocks = [one.decoding for one in self._session.tally.channels]
        seconds, size = sum(one.seconds for one in clocks), sum(one.size for one in clocks)
        then, before = self._inflated
        if size - before >= 4 << 20:
            self._inflated = seconds, size
            self._decode = max(seconds - then, 0.0) / (size - before)


def host_mark(token: bytes) -> str:
    """What both ends of a migration have in common only if they share a kernel; empty where that
    is not told. It says nothing to others, nor in another migration."""
    try:
        boot = _BOOT.read_bytes()
    except OSError:
        return ""
    return hashlib.blake2b(boot, key=token, digest_size=8).hexdigest()
