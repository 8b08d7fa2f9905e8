"""Where other Ramferrys' control connections are answered, and migrations get their tokens."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from ramferry.errors import Cancelled, RamferryError, RemoteProtocolError
from ramferry.flows.peer.agreement import agree, own_hello
from ramferry.flows.peer.control import Control
from ramferry.flows.peer.visit import Visit
from ramferry.flows.session.roles import FlowSettings
from ramferry.metrics.notes import of_migration, refusal, warning
from ramferry.patience import Patience
from ramferry.transport.address import Address, RelayAddress
from ramferry.transport.connection import Connection
from ramferry.wire.relay_messages import STREAM_SILENT, Hello, Outcome
from ramferry.wire.relay_opening import TOKEN_SIZE, Kind, Opening

MOST_GREETED: Final = 8
"""Most control connections that may be at their hello at once, each with a thread; as many as
migrations at a time, if those are more."""
MOST_WAITING: Final = 8
"""Most migrations that were agreed and whose main has not come, or as many as at a time; the oldest
one goes."""
ENDING: Final = 2.0
"""Seconds that a hello waits for the end of a migration that is under way."""
_LOOK: Final = 0.01
MOST_KEPT: Final = 64
"""Most outcomes that are kept for far ends that have not said that they know; the oldest one
goes."""


OUTCOMES: Final = {
    "pending": "not decided",
    "taken": "taken over",
    "not taken": "not taken over",
    "unknown": "perhaps taken over: see `info status`",
}
"""An outcome's name in sentences."""


class Reception:
    """Says hello to those that connect, and knows their migrations by token."""

    def __init__(
        self,
        settings: FlowSettings,
        note: Callable[[str], None],
        refuses: Callable[[], str],
        *,
        limit: int = 1,
        streams: bool = False,
        at_once: bool = False,
    ) -> None:
        """
        :param refuses: says why no migration can be taken now; empty if one can.
        :param limit: most migrations that are taken at a time.
        :param streams: whether a stream may come by a tunnel.
        :param at_once: whether one may that says nothing at first.
        """
        self._limit = limit
        self._at_once = at_once
        self._settings = settings
        self._streams = streams
        self._note = note
        self._refuses = refuses
        self._visits: dict[bytes, Visit] = {}
        self._kept: dict[bytes, tuple[Visit, Patience]] = {}
        """Migrations that have ended, and whose far ends may still ask how."""
        self._greeting: set[Connection] = set()
        self._lock = threading.Lock()
        self._closed = False

    def greet(self, connection: Connection, origin: str) -> None:
        """Answer a control connection, whose opening was read, in a thread; it belongs to this
        object."""
        with self._lock:
            room = len(self._greeting) < max(MOST_GREETED, self._limit) and not self._closed
            if room:
                self._greeting.add(connection)
        if not room:
            self._note(
                refusal(f"refused a control connection from {origin}: too many say hello at once")
            )
            connection.close()
            return
        threading.Thread(
            target=self._greet, args=(connection, origin), name="hello", daemon=True
        ).start()

    def resume(self, connection: Connection, token: bytes, origin: str) -> None:
        """Take a control connection in place of one that broke; it belongs to this object."""
        control = Control(connection)
        with self._lock:
            kept = self._kept.get(token)
            visit = kept[0] if kept else self._visits.get(token)
        if visit is not None:
            visit.resume(control)
            return
        self._note(f"asked by {origin} about a migration that is not known here")
        control.say(Outcome("unknown", "it does not know of this migration there"))
        control.close()

    @property
    def owes(self) -> bool:
        """True while a far end may ask how a migration that has ended here did."""
        with self._lock:
            return any(visit.owes for visit, _ in self._kept.values())

    def expire(self) -> None:
        """Forget what was kept for long enough, or is known at the far end, and migrations whose
        main did not come, and tell the others' far ends how busy this one is; called at least once
        a second."""
        with self._lock:
            gone = [one for one, (visit, left) in self._kept.items() if left.over or not visit.owes]
            visits = [self._kept.pop(token)[0] for token in gone]
            stale = [visit for visit in self._visits.values() if visit.stale]
            for visit in stale:
                del self._visits[visit.token]
            under_way = list(self._visits.values())
        for visit in under_way:
            visit.tell_load()
        for visit in visits:
            self._forget(visit)
        for visit in stale:
            self._tell(
                visit,
                f"a migration that was agreed on with the Ramferry of {visit.origin} has not come:"
                " no guest has left its source by it",
            )
            visit.close()

    def visit(self, token: bytes) -> Visit | None:
        """The migration with a token; None if there is none."""
        with self._lock:
            return self._visits.get(token)

    def over(self, visit: Visit) -> None:
        """A migration has ended: forget it, unless its far end may still ask how."""
        oldest = None
        with self._lock:
            self._visits.pop(visit.token, None)
            keeps = visit.owes and not self._closed
            if keeps:
                self._kept[visit.token] = visit, Patience(self._settings.decide)
            if len(self._kept) > MOST_KEPT:
                oldest, _ = self._kept.pop(next(iter(self._kept)))
        if oldest is not None:
            self._forget(oldest)
        if not keeps:
            visit.close()

    def _forget(self, visit: Visit) -> None:
        """End a migration that was kept; a person is told what its far end was not.

        The far end may have let ram's END go where it has not come: only then its guest stands
        still.
        """
        if visit.owes:
            outcome = visit.outcome()
            stands = "has not asked how its switchover ended, and its guest may stand still there"
            if not visit.switches:
                stands = "did not come back, and its guest stands still if the switchover had begun"
            self._tell(
                visit,
                f"the Ramferry at the source {stands}: the guest was {OUTCOMES[outcome.outcome]}"
                " here",
            )
        visit.close()

    def _tell(self, visit: Visit, text: str) -> None:
        """Say something of a migration, with its name where there may be several."""
        named = f"migration {visit.agreed.migration}: " if self._limit > 1 else ""
        note = warning(f"{named}{text}")
        self._note(of_migration(note, visit.agreed.migration, visit.uuid, ""))

    def close(self) -> None:
        """Forget every migration, and end their control connections."""
        with self._lock:
            self._closed = True
            visits, greeting = list(self._visits.values()), list(self._greeting)
            kept = [visit for visit, _ in self._kept.values()]
            self._visits.clear()
            self._kept.clear()
        for connection in greeting:
            connection.cut()
        for visit in visits:
            visit.close()
        for visit in kept:
            self._forget(visit)

    def _greet(self, connection: Connection, origin: str) -> None:
        try:
            control = Control(connection)
            try:
                self._agree(control, origin)
            except RamferryError as error:
                if not self._closed:
                    self._note(refusal(f"refused a migration from {origin}: {error}"))
                control.close()
        except OSError:  # it broke before it could be settled
            connection.close()
        finally:
            with self._lock:
                self._greeting.discard(connection)

    def _agree(self, control: Control, origin: str) -> None:
        """
        :param origin: who has connected.
        :raise RamferryError: no migration comes of it; the far end was told if it said anything.
        """
        try:
            far = control.hear_hello()
        except RemoteProtocolError as error:
            refused = f"this end's hello makes no sense there: {error}"
            near = own_hello(self._settings, refused=refused, streams=self._streams)
            control.say(near, Opening(Kind.CONTROL))
            raise error
        token, refused = os.urandom(TOKEN_SIZE), self._refused() or self._unlike(far)
        near = own_hello(self._settings, refused=refused, streams=self._streams)
        try:
            agreed = agree(near, far, receives=near)
        except RamferryError as error:
            # the versions and the rest in its own words, which it judges by itself
            control.say(near, Opening(Kind.CONTROL))
            raise error
        visit = Visit(control, token, agreed, self._settings.decide, far.method)
        visit.stream_told, visit.origin = far.stream, origin
        if not refused:
            self._admit(visit)
        if not control.say(near, Opening(Kind.CONTROL, token)) or refused:
            self.over(visit)
            return
        visit.listen()

    def _unlike(self, far: Hello) -> str:
        """Why the kind of stream that a far end announces is not taken; empty if it is."""
        if far.stream == STREAM_SILENT and not self._at_once:
            return "it takes streams that say nothing with --any-stream only"
        return ""

    def _refused(self) -> str:
        """Why no migration can be taken now; one that is about to end is waited for, since the far
        end may know earlier that it has."""
        patience = Patience(ENDING)
        while (refused := self._refuses()) and not patience.over and not self._closed:
            time.sleep(_LOOK)
        return refused

    def _admit(self, visit: Visit) -> None:
        """
        :raise Cancelled: no more migrations are taken.
        """
        oldest = None
        with self._lock:
            if self._closed:
                raise Cancelled("the relay ends")
            waiting = [one for one in self._visits.values() if not one.begun]
            if len(waiting) >= max(MOST_WAITING, self._limit):
                oldest = waiting[0]
                del self._visits[oldest.token]
            self._visits[visit.token] = visit
        if oldest is not None:
            oldest.close()


class Listens(FlowSettings, Protocol):
    """The settings of a flow that listens."""

    @property
    def listen(self) -> Address:
        """Where it listens."""


def reception_of(
    settings: Listens,
    note: Callable[[str], None],
    refuses: Callable[[], str],
    *,
    limit: int = 1,
    streams: bool = False,
    at_once: bool = False,
) -> Reception | None:
    """A reception where only Ramferrys may call, at a ``relay:`` address; else None.

    :param streams: whether a stream may come by a tunnel.
    :param at_once: whether one may that says nothing at first.
    """
    if not isinstance(settings.listen, RelayAddress):
        return None
    return Reception(settings, note, refuses, limit=limit, streams=streams, at_once=at_once)
