"""The main channel going out: holds each sync mark until the channels are ready for it."""

from __future__ import annotations

from typing import Final

from ramferry.errors import MigrationFailed, RamferryError
from ramferry.flows.outlet.answer import CarriedAnswer
from ramferry.flows.outlet.asked import LOOK, AskedAnswer
from ramferry.flows.outlet.forwarding import sending_on_main
from ramferry.flows.outlet.given_up import GivenUp
from ramferry.flows.outlet.outlet import Outlet
from ramferry.flows.outlet.plain_way import PlainWay
from ramferry.flows.outlet.refused import unless_main_tells
from ramferry.flows.outlet.tail import ENDLESS, SIGN, UNCLOSED, Tail, withdrawn
from ramferry.flows.outlet.taken import taken_on_main, until_consumed, until_main_is_taken
from ramferry.flows.outlet.way_back import WayBack
from ramferry.flows.peer.guardian import Guardian, how_to_decide
from ramferry.flows.peer.stream import Tunnel
from ramferry.flows.session.gate import Unwind
from ramferry.flows.session.session import Phase
from ramferry.flows.session.tally import ChannelTally
from ramferry.metrics.notes import warning
from ramferry.transport.address import is_local
from ramferry.transport.connection import Connection
from ramferry.vocabulary import PACKET_BYTES, Buffer
from ramferry.wire.events import EndOfStream, MainEvent, PageRun, RamEnd, SyncMark
from ramferry.wire.main import MainParser

_NOTHING: Final = memoryview(b"")


class RelayedMain:
    """Passes main on as it came; a :class:`~ramferry.flows.inlet.main.MainTaker`."""

    most = PACKET_BYTES
    next_piece = 64 * 1024
    fill = False
    complete = False

    def __init__(self, outlet: Outlet, source: Connection) -> None:
        """:param source: main's connection, which the inlet reads; the answer is sent to it."""
        self._outlet = outlet
        self._session = outlet.session
        self._source = source
        self._given_up = GivenUp(outlet.session, source)
        self._tally: ChannelTally
        self._parser: MainParser
        self._destination: Connection
        self._data = _NOTHING
        """The piece that is being sent."""
        self._seen = 0
        """Offset in the stream up to which bytes were received."""
        self._sent = 0
        """Offset in the stream up to which bytes were sent on."""
        self._way: PlainWay | None = None
        """How a plain stream is sent; None if this is none."""
        self._kept: bytearray | None = None
        """What came before it was known whether this is a plain stream; None once that is known,
        and main is connected."""
        self._broken = False
        """True once main towards the destination broke, or takes nothing more."""
        self._tail: Tail | None = None
        """What is held back from ram's END on, until all of it is here; None if nothing is."""
        self._guardian: Guardian | None = None
        """Holds the source if this process is killed in the switchover; None where it need not."""

    def begin(self, tally: ChannelTally, parser: MainParser) -> None:
        """See ``MainTaker``; connects to the destination, and lets the channels follow. Where this
        may be a plain stream, that is found out first, and the far end has only said hello."""
        self._parser = parser
        self._tally = tally
        plain = self._session.plain
        if plain.possible and not plain.chosen:
            plain.possible = self._outlet.takes_streams()
        if plain.open:
            self._kept = bytearray()
        else:
            self._connect()

    def _connect(self) -> None:
        outlet, plain = self._outlet, self._session.plain
        self._destination = outlet.connect(main=True, stream=plain.chosen)
        if plain.chosen:
            self.next_piece = PACKET_BYTES
            self._way = PlainWay(outlet, self._destination, self._tally)
        self._session.start("return path", self._answer().run, self._answered)
        outlet.open_onward()

    def _answered(self) -> None:
        """Called when no more comes on the return path: a tunnel waits for the end of it."""
        if isinstance(self._source, Tunnel):
            self._source.finish()

    def _decided(self) -> None:
        """Connect, if it has just become known what this is, and send what was kept for that."""
        if self._kept is None or self._session.plain.open:
            return
        kept, self._kept = self._kept, None
        self._connect()
        self._send(kept)

    def _answer(self) -> CarriedAnswer | WayBack:
        """What carries the answer: where the far end can be asked for it, it is."""
        session, far, outlet = self._session, self._outlet.far, self._outlet
        if session.plain.raw or session.plain.unanswered:
            session.holds = False
            return WayBack(session, self._source, self._destination)
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
        if self._session.plain.chosen:
            self._tally.pages = self._parser.pages
            self._tally.zero_pages = self._parser.zero_pages

    def hear(self, event: MainEvent) -> None:
        """See ``MainTaker``; waits before each mark until the channels are ready."""
        self._decided()
        match event:
            case SyncMark() if not self._session.plain.chosen:
                self._send_up_to(event.start)
                self._pass_mark(event)
            case PageRun() if self._way is not None:
                self._way.note(event)
            case RamEnd():
                self._session.ending = True
                if self._session.asked or self._session.plain.unanswered:
                    self._send_up_to(event.start)
                    self._hold_back()
                else:
                    self._switch()
            case EndOfStream() if self._tail is not None:
                self._tail.end = event.end

    def close_piece(self) -> None:
        """See ``MainTaker``."""
        self._decided()
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

    def _hold_back(self) -> None:
        """Keep ram's END and what follows until it is whole. Who is not told lets go of its guest
        once it has written that: it is not read before the rest has arrived."""
        if self._session.plain.unanswered:
            until_main_is_taken(self._outlet)
        self._tail = Tail()

    def _let_go_part(self, tail: Tail) -> None:
        self._session.note(warning(ENDLESS))
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
        """See ``MainTaker``: the end of a good migration, a cancel, or the source's death."""
        plain = self._session.plain
        if self._session.phase < Phase.SWITCHOVER and not plain.blind and self._tail is None:
            raise MigrationFailed("main: the source ended the migration before its last round")
        if not (plain.blind or plain.unanswered):
            self._leave_to_the_destination()
        elif self._tail is not None:
            self._let_go_part(self._tail)  # it was not going to hear more

    def source_broke(self) -> None:
        """See ``MainTaker``. A Ramferry that was lost holds its source, and asks on another
        connection: the destination is left to decide."""
        if self._session.phase is Phase.SWITCHOVER and self._session.source_gave_up(SIGN):
            self._leave_to_the_destination()

    def farewell(self) -> None:
        """Called when no more will come and nothing has failed: tell the destination. Its answer
        is still carried back."""
        if self._outlet.main is not None and not self._broken:
            self._outlet.main.finish()
        if self._session.plain.raw and self._session.plain.half():
            self._session.advance(Phase.CONFIRMED)

    def look_back(self) -> None:
        """See ``GivenUp``; called in the loop's thread, since main's may be held up in sending."""
        if self._given_up.for_a_moment:
            self._refuse_the_rest()

    def part(self) -> str:
        """Called when the migration has ended: whoever would hold the source is dismissed, or has
        to: what a person has to know then, as clauses; else empty."""
        guardian, self._guardian = self._guardian, None
        if guardian is None:
            return ""
        if not self._session.held:
            guardian.dismiss()
            return ""
        guardian.leave()
        return how_to_decide(guardian.pid)

    def tell_if_unheard(self) -> None:
        """Note it if the source has not closed main, as it does once it has the answer."""
        if not (self._session.plain.unanswered or self._source.hung_up()):
            self._session.note(warning(UNCLOSED))

    def _pass_mark(self, mark: SyncMark) -> None:
        session = self._session
        if mark.index == 0:
            session.gather()
        session.gate.hold(mark.index)
        if session.gate.gated:
            until_consumed(self._outlet)
        session.check()
        session.check_mark(mark.index)
        self._outlet.pass_mark(mark.index, whole=self._parser.mode == "round")
        self._send_up_to(mark.end)
        session.gate.release(mark.index)
        self._tally.syncs += 1

    def _send_up_to(self, offset: int) -> None:
        """Send the piece's bytes that come before the stream's ``offset`` and were not sent yet."""
        if offset <= self._sent:
            return
        part = self._data[self._unsent() : offset - (self._seen - len(self._data))]
        if self._given_up.now:
            self._refuse_the_rest()
        if self._kept is None:
            self._send(part, self._sent)
        else:
            self._kept += part
        self._sent = offset

    def _unsent(self) -> int:
        """Where in the piece the bytes begin that were not sent yet."""
        return max(self._sent - (self._seen - len(self._data)), 0)

    def _send(self, part: Buffer, at: int = 0) -> None:
        """:param at: the offset in the stream at which it begins, if there are pages in it."""
        # main's few bytes do not queue behind packets: a late mark would hold every channel
        try:
            with sending_on_main():
                if self._way is not None:
                    self._way.send(part, at)
                    return
                self._outlet.pacer.charge(len(part))
                self._tally.bytes_out += self._destination.send([part])
        except RamferryError as error:
            self._broken = True
            raise unless_main_tells(self._session, error) from error.__cause__

    # --- a source that ends main in the switchover, before the answer, goes on with its guest

    def _leave_to_the_destination(self) -> None:
        """Keep the destination from starting the guest, if that is still possible: one that has
        taken everything, or is behind a UNIX socket, decides, and its answer is waited for."""
        self._refuse_the_rest()
        self._session.check()
        if not taken_on_main(self._outlet):
            self._withdraw()
            self._session.check()

    def _refuse_the_rest(self) -> None:
        if self._sent < self._seen:
            self._withdraw()

    def _withdraw(self) -> None:
        if self._session.phase is Phase.SWITCHOVER:
            self._session.fail(lambda: withdrawn(self._session), final=True)
            self._destination.reset()
