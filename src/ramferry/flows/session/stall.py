"""Notices that a migration stands still."""

from __future__ import annotations

import time
from typing import Final

from ramferry.errors import PeerTimeout
from ramferry.flows.session.session import Phase, Session
from ramferry.metrics.notes import warning
from ramferry.patience import Patience

_BLIND: Final = 2.0
"""Seconds that channels may wait for marks while main is copied without being parsed, so that a
mark may have passed unseen."""
_PREAMBLE: Final = 60.0
"""Seconds from main's first bytes until everything before the first section must have come: it
takes milliseconds, and a source that trickles would keep out every other."""
_REMIND: Final = 10.0
"""Seconds of silence in a switchover, which takes 0.1 s as a rule, after which a person is told."""


class StallWatch:
    """Judges a migration by the time since its last byte; time in which this process was stopped
    does not count."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._moved = -1
        clock = time.monotonic
        self._silence = Patience(session.settings.stall_timeout, clock=clock)
        self._preamble = Patience(_PREAMBLE, clock=clock)
        self._blind = Patience(_BLIND, clock=clock)
        self._blind_since: float | None = None
        self._said = False

    def look(self) -> None:
        """Fail the migration if it stands still for too long; called at least once a second."""
        session = self._session
        if session.tally.moved != self._moved:
            self._moved, self._said = session.tally.moved, False
            self._silence.restart()
        silent = self._silence.spent
        if session.phase == Phase.SWITCHOVER:
            self._remind(silent)
            return
        self._look_at_main(silent)
        self._judge(silent)

    def _look_at_main(self, silent: float) -> None:
        session = self._session
        if session.blind_since != self._blind_since:
            self._blind_since = session.blind_since
            self._blind.restart()
        blind = self._blind_since is not None and self._blind.spent > _BLIND
        if blind and silent > _BLIND and session.gate.gated and session.gate.waiting:
            session.behind.blinded()
        behind = session.behind
        begun = behind.introduced or behind.waits or session.phase != Phase.GATHERING
        if not begun and self._preamble.over:
            session.fail(
                PeerTimeout(f"main: the source sent no whole section in {_PREAMBLE:.0f} s")
            )

    def _judge(self, silent: float) -> None:
        session = self._session
        if not (waiting := session.behind.waits):
            if session.phase == Phase.GATHERING:
                waiting = _ungathered(len(session.sources) - 1, session.settings.channels)
            else:
                waiting = session.gate.waiting
        if waiting and silent > session.settings.stall_timeout:
            if left := session.behind.untaken():
                # the SYNC that main waits for stands behind them: the source is not to blame
                waiting = f"the destination leaves {left} bytes of a channel untaken"
            session.fail(PeerTimeout(f"nothing moved for {silent:.0f} s: {waiting}"))

    def _remind(self, silent: float) -> None:
        if silent > _REMIND and not self._said:
            self._said = True
            self._session.note(
                warning(
                    f"the destination has not answered for {silent:.0f} s in the switchover: the "
                    "guest is paused at the source; if the destination's QEMU is dead, end it, and "
                    "the source goes on"
                )
            )


def _ungathered(came: int, wanted: int | None) -> str:
    """What a migration waits for that has not begun.

    :param came: how many channels it has.
    :param wanted: as ``FlowSettings.channels``.
    """
    if not wanted:
        return "the source has not opened all its channels"
    if came >= wanted:
        return f"all {wanted} channels are open, and main has not come to its first sync mark"
    return (
        f"the source opened {came} of {wanted} channels: set its multifd-channels and the number"
        " that is expected here (--channels) alike"
    )
