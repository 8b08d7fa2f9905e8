"""The main channel going out: holds each sync mark until the channels are ready for it."""

from __future__ import annotations

from typing import Final

from ramferry.errors import MigrationFailed, RamferryError
from ramferry.flows.outlet.answer import CarriedAnswer
from ramferry.flows.outlet.asked import LOOK, AskedAnswer
from ramferry.flows.outlet.outlet import Outlet, sending_on_main
from ramferry.flows.outlet.tail import Tail
from ramferry.flows.outlet.taken import taken_on_main, until_consumed
from ramferry.flows.peer.guardian import Guardian, how_to_decide
from ramferry.flows.session.gate import Unwind
from ramferry.flows.session.session import Phase
from ramferry.flows.session.tally import ChannelTally
from ramferry.metrics.notes import warning
from ramferry.transport.address import is_local
from ramferry.transport.connection import Connection
from ramferry.vocabulary import Buffer
from ramferry.wire.events import EndOfStream, MainEvent, RamEnd, SyncMark
from ramferry.wire.main import MainParser

_NOTHING: Final = memoryview(b"")
_SIGN: Final = 1.0
"""Seconds that a Ramferry, whose main broke in the switchover, may take to say that its source gave
the migration up; it says so before it ends main, on another connection."""


class RelayedMain:
    """Passes main on as it came; a :class:`~ramferry.flows.inlet.main.MainTaker`."""

    most = next_piece = 64 * 1024
    fill = False
    complete = False

    def __init__(self, outlet: Outlet, source: Connection) -> None:
        """:param source: main's connection, which the inlet reads; the answer is sent to it."""
        self._outlet = outlet
        self._session = outlet.session
        self._source = source
        self._tally: ChannelTally
        self._destination: Connection
        self._data = _NOTHING
        """The piece that is being sent."""
        self._seen = 0
        """Offset in the stream up to which bytes were received and parsed."""
        self._sent = 0
        """Offset in the stream up to which bytes were sent on."""
        self._broken = False
        """True once main towards the destination broke, or takes nothing more."""
        self._tail: Tail | None = None
        """What is held back from ram's END on, until all of it is here; None if nothing is."""
        self._guardian: Guardian | None = None
        """Holds the source if this process is killed in the switchover; None where it need not."""

    def begin(self, tally: ChannelTally, parser: MainParser) -> None:
        """See ``MainTaker``; connects to the destination, and lets the channels follow."""
        del parser
        self._tally = tally
        self._destination = self._outlet.connect(main=True)
        self._session.start("return path", self._answer().run)
        self._outlet.open_onward()

    def _answer(self) -> CarriedAnswer:
        """What carries the answer: where the far end can be asked for it, it is."""
        session, far, outlet = self._session, self._outlet.far, self._outlet
        if far is None or not session.holds:
            local = is_local(outlet.settings.connect)
            return CarriedAnswer(session, self._source, self._destination, local=local)
        self._destination.settle(outlet.settings.stall_timeout, piece=LOOK)
        if not session.asked:
            self._guardian = Guardian(
                far.will(outlet.settings.security, clear=outlet.settings.clear_in)
            )
        telling = self._guardian.telling if self._guardian else lambda: None
        source, cut = self._source, lambda: self._broken
        return AskedAnswer(session, source, self._destination, far.asking, cut, telling)

    def open_piece(self, data: memoryview, events: list[MainEvent]) -> None:
        """See ``MainTaker``."""
        del events
        self._data = data
        self._seen += len(data)

    def hear(self, event: MainEvent) -> None:
        """See ``MainTaker``; waits before each mark until the channels are ready."""
        match event:
            case SyncMark():
                self._send_up_to(event.start)
                self._pass_mark(event)
            case RamEnd():
                self._session.ending = True
                if self._session.asked:
                    self._send_up_to(event.start)
                    self._tail = Tail()
                else:
                    self._switch()
            case EndOfStream() if self._tail is not None:
                self._tail.end = event.end

    def close_piece(self) -> None:
        """See ``MainTaker``."""
        if self._tail is None:
            self._send_up_to(self._seen)
            return
        self._tail.add(self._data[self._unsent() :])
        self._sent = self._seen
        if self._tail.whole(self._seen):
            self._session.whole = True
            self._let_go(self._tail)
        elif self._tail.too_much:
            self._let_go_part(self._tail)

    def silent(self) -> None:
        """See ``MainTaker``."""
        if self._tail is not None and self._tail.waited:
            self._let_go_part(self._tail)

    def _let_go_part(self, tail: Tail) -> None:
        self._session.note(
            warning(
                "main: the device state has no end that can be found (is suppress-vmdesc on?), so"
                " it is not held back until it is whole"
            )
        )
        self._let_go(tail)

    def _let_go(self, tail: Tail) -> None:
        self._switch()
        self._tail = None
        self._send(tail.data)

    def _switch(self) -> None:
        """Ram's END is about to be sent: with what follows, the destination may start its guest."""
        if self._guardian is not None:
            self._guardian.arm(self._session.sources)
        if not self._session.advance(Phase.SWITCHOVER):
            raise Unwind

    def source_ended(self) -> None:
        """See ``MainTaker``; this is the end of a good migration, a cancel, or the source's
        death."""
        if self._session.phase < Phase.SWITCHOVER:
            raise MigrationFailed("main: the source ended the migration before its last round")
        self._leave_to_the_destination()

    def source_broke(self) -> None:
        """See ``MainTaker``. A Ramferry that was lost holds its source, and asks on another
        connection: the destination is left to decide."""
        if self._session.phase is Phase.SWITCHOVER and self._session.source_gave_up(_SIGN):
            self._leave_to_the_destination()

    def farewell(self) -> None:
        """Called when nothing more will come and the migration has not failed: tell the
        destination. Its answer is still carried back."""
        if self._outlet.main is not None and not self._broken:
            self._outlet.main.finish()

    def look_back(self) -> None:
        """Notice a source that ends main in the switchover, before the answer. Called in the loop's
        thread, because main's may be held up in sending."""
        ends = self._session.phase is Phase.SWITCHOVER and self._source.hung_up()
        if ends and self._session.source_gave_up(0.0):
            self._refuse_the_rest()

    def part(self) -> str:
        """Called when the migration has ended: whoever would hold the source is dismissed, unless
        it has to.

        :return: then, what a person has to know, as clauses; else empty.
        """
        guardian, self._guardian = self._guardian, None
        if guardian is None:
            return ""
        if not self._session.held:
            guardian.dismiss()
            return ""
        guardian.leave()
        return how_to_decide(guardian.pid)

    def tell_if_unheard(self) -> None:
        """Note it if the source has not closed main, which it does as soon as it has the answer."""
        if not self._source.hung_up():
            self._session.note(
                warning(
                    "the guest runs at the destination, and the source does not close the "
                    "migration as one that has heard of it: see with `info status` that its guest "
                    "does not run"
                )
            )

    def _pass_mark(self, mark: SyncMark) -> None:
        session = self._session
        if mark.index == 0:
            session.gather()
        session.gate.hold(mark.index)
        if session.gate.gated:
            until_consumed(self._outlet)
        session.check()
        session.check_mark(mark.index)
        self._outlet.pass_mark(mark.index)
        self._send_up_to(mark.end)
        session.gate.release(mark.index)
        self._tally.syncs += 1

    def _send_up_to(self, offset: int) -> None:
        """Send the piece's bytes that come before the stream's ``offset`` and were not sent yet."""
        if offset <= self._sent:
            return
        part = self._data[self._unsent() : offset - (self._seen - len(self._data))]
        self.look_back()
        self._send(part)
        self._sent = offset

    def _unsent(self) -> int:
        """Where in the piece the bytes begin that were not sent yet."""
        return max(self._sent - (self._seen - len(self._data)), 0)

    def _send(self, part: Buffer) -> None:
        # main's few bytes do not queue behind packets: a late mark would hold every channel
        self._outlet.pacer.charge(len(part))
        try:
            with sending_on_main():
                self._tally.bytes_out += self._destination.send([part])
        except RamferryError:
            self._broken = True
            raise

    # --- a source that ends main in the switchover, before the answer, goes on with its guest

    def _leave_to_the_destination(self) -> None:
        """Keep the destination from starting the guest, if that is still possible.

        If it has taken everything, or main goes out by a UNIX socket, it decides itself, and its
        answer is waited for.
        """
        self._refuse_the_rest()
        self._session.check()
        if not taken_on_main(self._outlet):
            self._withdraw()
            self._session.check()

    def _refuse_the_rest(self) -> None:
        if self._sent < self._seen:
            self._withdraw()

    def _withdraw(self) -> None:
        if self._session.phase is not Phase.SWITCHOVER:
            return
        self._session.fail(
            MigrationFailed(
                "main: the source ended the migration in the switchover, before the answer: the "
                "rest of the stream was withdrawn, so that the destination does not start the "
                "guest; see with `info status` there that it does not run"
            ),
            final=True,
        )
        self._destination.reset()
