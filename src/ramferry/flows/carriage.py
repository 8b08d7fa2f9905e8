"""One of the migrations that a relay carries: its passage, who watches it, and its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from ramferry.flows.inlet.watching import Observer, Watch
from ramferry.flows.outcome import cancelled
from ramferry.flows.passage import Passage
from ramferry.flows.respite import Respite
from ramferry.flows.session.session import Phase, Session
from ramferry.metrics import RelayResult


class Carriage:
    """A migration under way; all in the loop's thread, but for the thread that ends it."""

    def __init__(self, passage: Passage, observer: Observer, respite: Respite) -> None:
        self.passage = passage
        self.respite = respite
        self.watch = Watch(passage.session, passage.outlet.governor(), observer, passage.look)
        self._note = observer.note
        self.channels = 0
        """Number of its multifd channels, once it is over."""

    @property
    def session(self) -> Session:
        """What its threads share."""
        return self.passage.session

    @property
    def switches(self) -> bool:
        """Whether only the destination can end it."""
        return self.session.phase is Phase.SWITCHOVER

    def stop(self, reason: str, *, again: bool) -> bool:
        """End it; False if it is in the switchover, which is let finish unless this is done
        ``again``."""
        session = self.session
        if self.switches and not again:
            again_does = "leave it undecided" if session.holds else "cut the connections"
            session.note(
                "the switchover has begun and only the destination can end it: waiting for its "
                f"answer (signal again to {again_does})"
            )
            return False
        session.fail(partial(cancelled, session, reason), final=again)
        return True

    def end(self, done: Callable[[RelayResult], None]) -> None:
        """End what is left of it, and hand its result over."""
        self._unwatch()
        done(self.passage.end(self.channels))

    def end_aside(self, done: Callable[[RelayResult], None]) -> threading.Thread:
        """The same in a thread, so that others do not wait for peers that do not answer; ``done``
        is called there."""
        self._unwatch()

        def run() -> None:
            done(self.passage.end(self.channels))

        thread = threading.Thread(target=run, name="end of a migration", daemon=True)
        thread.start()
        return thread

    def fail(self, reason: str) -> None:
        """It is ended, whatever its phase."""
        self.session.fail(partial(cancelled, self.session, reason), final=True)

    def _unwatch(self) -> None:
        if not self.watch.heard:
            self.passage.unheard()
        self.passage.unwatch()
