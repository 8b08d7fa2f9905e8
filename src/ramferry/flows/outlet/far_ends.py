"""Watches the destination's ends of the multifd channels: if one closes, the bytes that it has not
read are lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ramferry.errors import MigrationFailed
from ramferry.flows.outlet.refused import in_doubt, unless_main_tells
from ramferry.flows.session.loop import HUNG_UP, Loop
from ramferry.flows.session.session import Phase, Session
from ramferry.transport.connection import Connection


class FarEnds:
    """Fails a migration if its destination closes a channel before ram's END."""

    def __init__(
        self, loop: Loop, session: Session, lost: Callable[[str, str], MigrationFailed]
    ) -> None:
        """:param lost: the error of a channel, by its name and what the destination did."""
        self._loop = loop
        self._session = session
        self._lost = lost
        self._watched: list[int] = []
        self._closed = False

    def watch(self, destination: Connection, name: str) -> None:
        """Watch one more channel; safe from any thread."""
        self._loop.call(partial(self._add, destination, name))

    def close(self) -> None:
        """Stop watching; called in the loop's thread before the connections are closed."""
        self._closed = True
        for fd in self._watched:
            self._loop.remove(fd)

    def _add(self, destination: Connection, name: str) -> None:
        fd = destination.fileno()
        if fd >= 0 and not self._closed:
            self._watched.append(fd)
            self._loop.add(fd, HUNG_UP, partial(self._gone, fd, name))

    def _gone(self, fd: int, name: str) -> None:
        """A channel's far end closed: that is normal after ram's END; before, its bytes are
        lost."""
        self._loop.remove(fd)
        session = self._session
        # after ram's END it is the normal end
        if not session.gate.gated or session.phase >= Phase.SWITCHOVER:
            return
        lost = self._lost(name, "closed the connection")
        if in_doubt(session, lost):
            # the loop's thread, in which others are served, does not wait
            session.start(f"the end of {name}", partial(self._tell, lost))
        else:
            session.fail(lost)

    def _tell(self, lost: MigrationFailed) -> None:
        raise unless_main_tells(self._session, lost)
