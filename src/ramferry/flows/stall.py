"""Notices that somebody waits and nothing moves."""

from __future__ import annotations

import time
from typing import Final

from ramferry.errors import PeerTimeout
from ramferry.flows.migration import Migration, Phase

_BLIND: Final = 2.0
"""Seconds that channels may wait for marks which main, being copied, may have passed unseen."""
_REMIND: Final = 10.0
"""Seconds of silence in a switchover after which a person is told; it takes 0.1 s as a rule."""


class StallWatch:
    """Judges a migration by the time since its last byte."""

    def __init__(self, session: Migration) -> None:
        self._session = session
        self._moved = -1
        self._since = time.monotonic()
        self._said = False

    def look(self) -> None:
        """Judge; called every now and then."""
        session, now = self._session, time.monotonic()
        if session.tally.moved != self._moved:
            self._moved, self._since, self._said = session.tally.moved, now, False
        silent = now - self._since
        if session.phase == Phase.SWITCHOVER:
            self._remind(silent)
            return
        blind = session.blind_since
        if blind is not None and now - blind > _BLIND and silent > _BLIND and session.gate.waiting:
            session.give_up_gating()
        waiting = session.waiting()
        if session.phase == Phase.GATHERING:
            waiting = "the source has not opened all its channels"
            if session.settings.channels:
                waiting += f" (expected {session.settings.channels})"
        if waiting and silent > session.settings.stall_timeout:
            if left := session.untaken():
                # the SYNC that main waits for stands behind them: the source is not to blame
                waiting = f"the destination leaves {left} bytes of a channel untaken"
            session.fail(PeerTimeout(f"nothing moved for {silent:.0f} s: {waiting}"))

    def _remind(self, silent: float) -> None:
        if silent > _REMIND and not self._said:
            self._said = True
            self._session.note(
                f"the destination has not answered for {silent:.0f} s in the switchover: the guest "
                "is paused at the source; if the destination's QEMU is dead, end it, and the "
                "source goes on"
            )
