"""One migration through a relay: an inlet and an outlet, joined by pages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ramferry.errors import MigrationFailed
from ramferry.flows.inlet.callers import MainArrival, MultifdArrival
from ramferry.flows.inlet.channel import ChannelInlet
from ramferry.flows.inlet.judge import RELAYED
from ramferry.flows.inlet.main import MainInlet
from ramferry.flows.outcome import relay_result
from ramferry.flows.outlet.asked import LOOK
from ramferry.flows.outlet.channel import RelayedChannel
from ramferry.flows.outlet.far_ends import FarEnds
from ramferry.flows.outlet.main import RelayedMain
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.outlet.whereabouts import without_uuid
from ramferry.flows.session.account import uuid_of
from ramferry.flows.session.footprint import Footprint
from ramferry.flows.session.loop import Loop
from ramferry.flows.session.session import Phase, Session
from ramferry.flows.session.turns import Turns
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayResult
from ramferry.metrics.notes import of_migration
from ramferry.transport.connection import Connection
from ramferry.transport.sharing import Lane
from ramferry.wire.relay_messages import STREAM_SILENT


class Passage:
    """One migration through a relay, made when a main comes. All methods are called in the loop's
    thread."""

    def __init__(
        self,
        settings: RelaySettings,
        source: Connection,
        loop: Loop,
        note: Callable[[str], None],
        turns: Turns,
        lane: Lane | None = None,
    ) -> None:
        """
        :param source: main's connection.
        :param turns: of the streams that say nothing.
        :param lane: see ``Outlet``.
        """
        self._settings = settings
        self._note = note
        self._turns = turns
        self.session = Session(settings, self._tell, loop.wake)
        self.outlet = self.session.behind = Outlet(self.session, settings, lane)
        self._main = RelayedMain(self.outlet, source)
        self._far_ends = FarEnds(loop, self.session, self.outlet.lost)
        self._footprint = Footprint()

    def _tell(self, text: str) -> None:
        """Called in any thread with a sentence of this migration."""
        session = self.session
        about = session.tally.migration, uuid_of(session), session.phase.word
        self._note(of_migration(text, *about))

    def main(self, arrival: MainArrival) -> None:
        """Start to carry main."""
        source = arrival.connection
        # an end of main that is held back is looked at while nothing comes
        source.settle(self._settings.stall_timeout, piece=LOOK if self.session.asked else None)
        settings, visit = self._settings, arrival.call.visit
        self._prepare(arrival)
        inlet = MainInlet(
            self.session,
            source,
            arrival.first,
            self._main,
            RELAYED,
            whole_preamble=not self.session.plain.raw,
            give_pages=settings.to_ramferry and settings.method != "none",
            plain=settings.to_ramferry,
            unanswered=settings.allow_no_return_path or visit is not None,
            counts=arrival.tunnel is None,
        )
        self.session.start("main", partial(self._in_turn, inlet.run), self._main.farewell)

    def _prepare(self, arrival: MainArrival) -> None:
        """Note what is known already of what comes: by a tunnel a plain stream, whatever it is."""
        plain, visit, told = self.session.plain, arrival.call.visit, ""
        plain.incoming = (arrival.connection,)
        if arrival.tunnel is not None:
            assert visit is not None
            told = visit.stream_told
            plain.incoming = arrival.tunnel.connections
            plain.streams = len(plain.incoming)
            plain.choose(raw=bool(told), at_once=told == STREAM_SILENT)
            if plain.at_once:
                plain.tell_reached = visit.connected
        elif arrival.raw:
            plain.choose(raw=True, at_once=not arrival.first)
            if plain.at_once:
                self._queue()
        if plain.raw:
            self.session.gathered.set()
            self.session.advance(Phase.CARRYING)

    def _queue(self) -> None:
        """Nothing has come of this stream: it goes onward behind those that came before it."""
        plain, session = self.session.plain, self.session
        plain.turn = turn = self._turns.take()
        session.when_failed(lambda _: turn.past())

    def _in_turn(self, carry: Callable[[], None]) -> None:
        self.session.plain.turn.wait(self.session.check)
        carry()

    def channel(self, arrival: MultifdArrival) -> None:
        """Start to carry a multifd channel."""
        source, initial, uuid = arrival.connection, arrival.initial, self._settings.uuid
        source.settle(self._settings.stall_timeout)
        if without_uuid(self._settings.connect, initial.uuid):
            self.session.fail(
                MigrationFailed(
                    f"{self._settings.connect} names the guest by its UUID, and this guest has "
                    "none: start both QEMUs with -uuid"
                )
            )
            return
        self.outlet.whereabouts.guest(initial.uuid)
        if uuid is not None:
            initial = replace(initial, uuid=uuid)
        onward = RelayedChannel(self.outlet, source, initial, self._far_ends.watch)
        inlet = ChannelInlet(self.session, source, initial, onward, arrival.seal)
        self.session.start(inlet.name, inlet.run, onward.farewell)

    def look(self) -> None:
        """Check what no event reports; called repeatedly while the migration is under way."""
        self._main.look_back()
        self._footprint.look()
        if self.outlet.chooser is not None:
            self.outlet.chooser.look()

    def unheard(self) -> None:
        """Called if the source has not closed its side in time: note if it may not have heard of
        the end."""
        self._main.tell_if_unheard()

    def unwatch(self) -> None:
        """Called in the loop's thread before ``end``: nothing is watched there any more."""
        self._footprint.measure()
        self._far_ends.close()

    def end(self, channels: int) -> RelayResult:
        """End what is left of the migration, which takes seconds where its peers do not answer, and
        return its result; may be called in any thread.

        :param channels: number of its multifd channels.
        """
        self.session.end()
        self.session.plain.turn.past()
        self.outlet.part()
        if held := self._main.part():
            assert self.session.error is not None
            self.session.error = self.session.error.reworded(f"{self.session.error}; {held}")
        self._reword()
        self.session.engines.tell_troubles()
        result = relay_result(self.session, self._settings, channels, self._footprint)
        self.session.engines.release()
        return result

    def _reword(self) -> None:
        """Say of a plain stream that failed what a person has to know beside the cause."""
        error, plain = self.session.error, self.session.plain
        if error is None:
            return
        if plain.raw:
            self.session.error = error.reworded(str(error).replace("main: ", "the stream: ", 1))
        elif plain.advice:
            self.session.error = error.reworded(f"{error}; {plain.advice}")
