"""Watches a migration under way: what no event reports is checked repeatedly."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

from ramferry.flows.inlet.arrivals import Arrivals
from ramferry.flows.session.account import snapshot
from ramferry.flows.session.loop import Loop
from ramferry.flows.session.session import Phase, Session
from ramferry.flows.session.stall import StallWatch
from ramferry.flows.session.throttle import BufferGovernor
from ramferry.metrics import RelayCounters
from ramferry.patience import Patience
from ramferry.transport.address import Address

STEP: Final = 0.25
"""Seconds between two checks of what no event reports, and between two reports of progress."""
_BRIEF: Final = 0.02
"""The same while a peer may be waiting for it: before the first mark, and after the end."""
_FAREWELL: Final = 5.0
"""Seconds that the source may take to close its side after it was told that its guest was taken
over."""


class Observer(Protocol):
    """Receives what happens, in the flow's thread; only ``note`` may be called from any thread."""

    def listening(self, address: Address) -> None:
        """Called once connections are accepted at ``address``."""

    def progress(self, counters: RelayCounters) -> None:
        """Called repeatedly while a migration is under way."""

    def note(self, text: str) -> None:
        """Called with one sentence that a person should know."""


def watch(
    session: Session,
    arrivals: Arrivals,
    loop: Loop,
    governor: BufferGovernor,
    observer: Observer,
    look: Callable[[], None] = lambda: None,
    *,
    at_once: bool = False,
) -> bool:
    """Watch until the migration has ended and, if it went well, the source has closed its side.

    :param look: called at each step.
    :param at_once: whether the observer hears of progress at the first step already.
    :return: False if the source was told, and has not closed its side within 5 s.
    """
    farewell: Patience | None = None
    stall = StallWatch(session)
    next_look = 0.0 if at_once else time.monotonic() + STEP
    while session.running() and not session.over.is_set():
        loop.step(_BRIEF if session.phase is not Phase.CARRYING else STEP)
        arrivals.gather()
        look()
        if session.phase is Phase.CONFIRMED:
            farewell = farewell or Patience(_FAREWELL)
            if farewell.over:
                return False
        if time.monotonic() >= next_look:
            next_look = time.monotonic() + STEP
            arrivals.expire()
            stall.look()
            governor.adjust()
            observer.progress(snapshot(session))
    return True
