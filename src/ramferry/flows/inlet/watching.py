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


class Watch:
    """Watches one migration, step by step, until it has ended and, if it went well, the source has
    closed its side."""

    heard = True
    """False if the source was told, and has not closed its side within 5 s."""

    def __init__(
        self,
        session: Session,
        governor: BufferGovernor,
        observer: Observer,
        look: Callable[[], None] = lambda: None,
        *,
        at_once: bool = False,
    ) -> None:
        """
        :param look: called at each step.
        :param at_once: whether the observer hears of progress at the first step already.
        """
        self._session = session
        self._governor = governor
        self._observer = observer
        self._look = look
        self._farewell: Patience | None = None
        self._stall = StallWatch(session)
        self._next = 0.0 if at_once else time.monotonic() + STEP

    @property
    def on(self) -> bool:
        """True while there is something to watch."""
        return self.heard and self._session.running() and not self._session.over.is_set()

    @property
    def pace(self) -> float:
        """Seconds within which the next step has to be taken."""
        session = self._session
        chosen = session.tally.chosen
        brief = session.phase is not Phase.CARRYING or (chosen is not None and chosen.early)
        return _BRIEF if brief else STEP

    def step(self) -> None:
        """Look once."""
        self._look()
        session = self._session
        if session.phase is Phase.CONFIRMED:
            self._farewell = self._farewell or Patience(_FAREWELL)
            if self._farewell.over:
                self.heard = False
                return
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + STEP
            self._stall.look()
            self._governor.adjust()
            self._observer.progress(snapshot(session))


def watch(watched: Watch, arrivals: Arrivals, loop: Loop) -> None:
    """Watch the only migration there is until it has ended."""
    expires = Every(STEP)
    while watched.on:
        loop.step(watched.pace)
        arrivals.gather()
        watched.step()
        if expires.due:
            arrivals.expire()


class Every:
    """Says when so much time has passed again."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    @property
    def due(self) -> bool:
        """True once in so many seconds."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
