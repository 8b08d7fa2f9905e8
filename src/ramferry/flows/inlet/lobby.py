"""Connections from the source wait here until their first bytes say what they are.

No connection to the destination is made for a connection that has sent nothing: a silent connection
freezes a QEMU destination's monitor, and one that closes at once (a port probe) ends that QEMU.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from functools import partial

from ramferry.errors import MigrationFailed, RamferryError, RemoteProtocolError
from ramferry.flows.inlet.callers import (
    MAIN_MAGIC,
    Caller,
    Departure,
    MainArrival,
    MultifdArrival,
)
from ramferry.flows.inlet.calls import Call, one_too_many
from ramferry.flows.inlet.limits import BACK_OFF, MOST_CALLERS, MOST_OF_ONE, PROBE_GRACE
from ramferry.flows.inlet.limits import SILENCE as SILENCE
from ramferry.flows.inlet.refusals import Refusals
from ramferry.flows.inlet.streams import NO_STREAMS, Streams
from ramferry.flows.peer.reception import Reception
from ramferry.flows.session.loop import HUNG_UP, READABLE, Loop
from ramferry.metrics.notes import warning
from ramferry.patience import Patience
from ramferry.transport import budget
from ramferry.transport.connection import Connection
from ramferry.transport.listening import Accepted, Listener
from ramferry.wire import relay_opening
from ramferry.wire.packets import CHANNEL_ID_AT, INITIAL_SIZE
from ramferry.wire.relay_opening import OPENING_SIZE, PLACE_SIZE, Kind


class Lobby:
    """Accepts connections, finds out what they are, and hands them over; all in the loop's
    thread."""

    def __init__(
        self,
        loop: Loop,
        listener: Listener,
        arrived: Callable[[MainArrival | MultifdArrival], None],
        note: Callable[[str], None],
        departed: Callable[[Departure], None] = lambda _: None,
        *,
        reception: Reception | None = None,
        streams: Streams = NO_STREAMS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param departed: called for a connection that its peer closed before its kind was known.
        :param reception: where Ramferrys are greeted, if nobody else may call; else None.
        :param streams: what is carried that is no migration.
        """
        self._streams = streams
        self._reception = reception
        self._loop = loop
        self._listener = listener
        self._arrived = arrived
        self._note = note
        self._departed = departed
        self._callers: set[Caller] = set()
        self._running = Patience(math.inf, clock=clock)
        """The lobby's clock. It does not count time in which this process was stopped, since no
        peer is to blame for that."""
        self._refusals = Refusals(note, self._running)
        self._shut_since: float | None = None
        """Since when accepting is suspended; None if it is not."""
        self._in_want = False
        self.accepted = 0
        """Connections so far."""
        self._open()

    def silent(self, seconds: float = 0.0) -> list[Call]:
        """Open connections that have sent nothing for so long, and so may become a main."""
        now = self._running.spent
        callers = [one for one in self._callers if one.silent and now - one.since >= seconds]
        return [one.call for one in callers if not one.connection.hung_up()]

    def accept(self) -> None:
        """Accept every connection that waits in the kernel's queue."""
        if self._shut_since is None and self._accept_all():
            self._in_want = False

    def settled(self, concerns: Callable[[Call], bool] = lambda _: True) -> bool:
        """True if the kind of every connection is known, except of those that may be port
        probes.

        :param concerns: whether it matters what a connection is.
        """
        now = self._running.spent
        callers = [one for one in self._callers if one.first or now - one.since <= PROBE_GRACE]
        return not any(concerns(one.call) for one in callers if not one.rests)

    def expire(self) -> None:
        """Close connections that stayed silent for too long; called at least once a second."""
        if said := self._listener.keep():
            self._note(said)
        now = self._running.spent
        for caller in [one for one in self._callers if now - one.since > SILENCE]:
            self._refuse(caller, f"sent {len(caller.first)} bytes in {SILENCE:.0f} s")
        if self._shut_since is not None and now - self._shut_since > BACK_OFF:
            self._shut_since = None
            self._open()

    def take(self, call: Call) -> Connection:
        """Hand over a connection that has sent nothing."""
        caller = next(one for one in self._callers if one.call == call)
        self._leave(caller)
        return caller.connection

    def close(self) -> None:
        """Stop accepting, and close the connections that still wait."""
        self._shut()
        for caller in list(self._callers):
            self._leave(caller)
            caller.connection.close()

    # --- accepting

    def _open(self) -> None:
        for fd in self._listener.filenos():
            self._loop.add(fd, READABLE, self.accept)

    def _shut(self) -> None:
        for fd in self._listener.filenos():
            self._loop.remove(fd)

    def _accept_all(self) -> bool:
        """Accept all that wait; False if that failed for want of descriptors or memory."""
        try:
            while accepted := self._listener.accept():
                self._let_in(accepted)
        except OSError as error:
            self._back_off(error)
            return False
        return True

    def _back_off(self, error: OSError) -> None:
        """Stop polling the listener for ``BACK_OFF`` seconds: it stays readable while nothing can
        be accepted."""
        self._shut()
        self._shut_since = self._running.spent
        if not self._in_want:
            self._in_want = True
            self._note(
                warning(
                    f"connections cannot be accepted ({error.strerror}): they wait until that has"
                    " ended"
                )
            )

    def _let_in(self, accepted: Accepted) -> None:
        call = Call(self.accepted, accepted.origin)
        self.accepted += 1
        while leaves := one_too_many(
            self._callers, lambda one: one.call, MOST_OF_ONE, MOST_CALLERS, call
        ):
            self._refuse(leaves, "was silent while too many others came")
        connection = accepted.connection
        if connection.windowed:
            # before anything is read, since a window cannot shrink later; and not on the
            # listener, whose buffer would settle the window's scale: it never passed 128 KiB a
            # round trip then, however large the buffer became (rcv_wscale 1 in place of 10)
            connection.set_buffers(receive=budget.INITIAL)
        if self._streams.at_once and self._reception is None:
            self._arrived(MainArrival(connection, b"", call, raw=True))
            return
        caller = Caller(connection, call, self._running.spent, self._reception is not None)
        self._callers.add(caller)
        self._loop.add(connection.fileno(), READABLE | HUNG_UP, partial(self._read, caller))
        if accepted.holds:
            # in the next step: here a migration may be ending, whose successor this is
            self._loop.call(partial(self._read, caller))

    # --- telling them apart

    def _read(self, caller: Caller) -> None:
        """Read until nothing is there: a connection may hold bytes that its descriptor does not
        tell of."""
        while caller in self._callers and not caller.rests and self._read_piece(caller):
            continue

    def _read_piece(self, caller: Caller) -> bool:
        """Read what tells more of a connection; False if nothing is there, or it has ended."""
        piece = memoryview(bytearray(caller.wanted - len(caller.first)))
        try:
            count = caller.connection.receive_some(piece)
        except OSError:
            count = 0
        except RemoteProtocolError as error:
            # only main comes in frames
            self._refuse(caller, f"is damaged: {error}", error.at("main"))
            return False
        if count:
            caller.first += piece[:count]
            self._classify(caller)
        elif count is not None:
            self._gone(caller)
        return bool(count)

    def _gone(self, caller: Caller) -> None:
        # a port probe, or a source that gave up: nothing was connected onwards for it
        self._leave(caller)
        caller.connection.close()
        self._departed(Departure(caller.call, caller.channel))

    def _classify(self, caller: Caller) -> None:
        first = bytes(caller.first)
        if caller.opens:
            self._open_door(caller, first)
        elif caller.kind is Kind.STREAM:
            if len(first) == PLACE_SIZE:
                self._stream(caller, first)
        elif caller.belies_its_opening:
            self._refuse(caller, f"opened as another kind of channel and began with {first.hex()}")
        elif len(first) == INITIAL_SIZE:
            self._multifd(caller, first)
        elif why := self._streams.refuses(first):
            self._refuse(caller, why)
        elif why is not None:
            self._leave(caller)
            raw = first != MAIN_MAGIC
            self._arrived(MainArrival(caller.connection, first, caller.call, raw=raw))

    def _open_door(self, caller: Caller, first: bytes) -> None:
        """Judge what has come of a connection's opening."""
        if len(first) >= 4 and first[:4] != relay_opening.MAGIC:
            self._refuse(caller, relay_opening.what_begins_so(first))
        elif len(first) == OPENING_SIZE:
            try:
                self._opened(caller, relay_opening.parse_opening(first))
            except RemoteProtocolError as error:
                self._refuse(caller, f"is no Ramferry of this version: {error}")

    def _opened(self, caller: Caller, opening: relay_opening.Opening) -> None:
        assert self._reception is not None
        if opening.kind is Kind.CONTROL and opening.token != relay_opening.NO_TOKEN:
            raise RemoteProtocolError("no token yet", opening.token.hex())
        if opening.kind in (Kind.CONTROL, Kind.RESUMED):
            self._leave(caller)
            if opening.kind is Kind.CONTROL:
                self._reception.greet(caller.connection, caller.call.origin)
            else:
                self._reception.resume(caller.connection, opening.token, caller.call.origin)
            return
        visit = self._reception.visit(opening.token)
        if visit is None:
            self._refuse(caller, "belongs to no migration that was agreed on here")
            return
        try:
            caller.belong(visit, opening.kind)
        except RemoteProtocolError as error:
            self._refuse(caller, f"opened a migration's main again: {error}", error)

    def _stream(self, caller: Caller, first: bytes) -> None:
        """One of a tunnel's connections has come: it waits, unread, for the others."""
        self._loop.remove(caller.connection.fileno())
        try:
            tunnel = caller.take_place(first)
        except RemoteProtocolError as error:
            self._refuse(caller, f"belongs to no tunnel: {error}", error.at("main"))
            return
        if tunnel is not None:
            for one in [one for one in self._callers if one.call.visit is caller.call.visit]:
                self._leave(one)
            self._arrived(MainArrival(tunnel, b"", caller.call, tunnel))

    def _multifd(self, caller: Caller, first: bytes) -> None:
        try:
            arrival = caller.multifd(first)
        except RemoteProtocolError as error:
            why = f"is no multifd channel of ours: {error}"
            self._refuse(caller, why, error.at(f"multifd {first[CHANNEL_ID_AT]}", 0))
            return
        self._leave(caller)
        self._arrived(arrival)

    def _refuse(self, caller: Caller, why: str, error: RamferryError | None = None) -> None:
        """Close a connection, with a note; the migration to which it says that it belongs fails.

        :param why: what follows "it" in a sentence.
        :param error: its error; None: the note.
        """
        note = self._refusals.say(caller.call.origin, why)
        self._leave(caller)
        if caller.call.visit is not None:
            caller.call.visit.refuse(error or MigrationFailed(note))
        caller.connection.close()

    def _leave(self, caller: Caller) -> None:
        self._loop.remove(caller.connection.fileno())
        with contextlib.suppress(KeyError):
            self._callers.remove(caller)
