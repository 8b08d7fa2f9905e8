"""A main channel that ends in a sink: meets marks, hands over pages, and tells the source."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ramferry.errors import MigrationFailed, PeerTimeout, RemoteProtocolError
from ramferry.flows.contracts import StreamHead
from ramferry.flows.ends.intake import Intake
from ramferry.flows.ends.main_pages import Direct, MainPages, Threaded
from ramferry.flows.ends.verbatim import Verbatim
from ramferry.flows.session.reminder import UNHEARD
from ramferry.flows.session.tally import ChannelTally
from ramferry.transport.connection import Connection
from ramferry.transport.sockets import reason
from ramferry.vocabulary import PACKET_BYTES
from ramferry.wire.events import (
    BlockList,
    Command,
    Configuration,
    EndOfStream,
    MainEvent,
    PageRun,
    RamEnd,
    SyncMark,
    ZeroPages,
)
from ramferry.wire.grammar import RECORD_SIZE
from ramferry.wire.main import MainParser
from ramferry.wire.return_path import pong, shut, switchover_ack

_CHUNK: Final = 64 * 1024
PATIENCE: Final = 0.01
"""Seconds that a piece may take to fill if all pages come on main. It delays what a source waits
for: answers, and the end."""


class SinkMain:
    """Hands main's pages to the sink, keeps the rest, and tells the source; a ``MainTaker`` of
    ``inlet.main``.

    If all pages come on main, a piece is as long as a packet's records: a source's socket holds 208
    KiB, and each piece costs some 80 µs of Python.
    """

    def __init__(self, intake: Intake, source: Connection) -> None:
        settings = intake.settings
        self._intake = intake
        self._session = intake.session
        self._source = source
        self._record = RECORD_SIZE + settings.page_size
        self.fill = settings.threads > 0
        """See ``MainTaker``."""
        packet = PACKET_BYTES // settings.page_size * self._record
        self.most = self.next_piece = packet if self.fill else _CHUNK
        """See ``MainTaker``."""
        self.complete = False
        """See ``MainTaker``."""
        self._verbatim = Verbatim()
        self._blocks: BlockList | None = None
        self._end: int | None = None
        """Offset at which the stream may end; None before it is known."""
        self._pages: MainPages | None = None
        """What takes pages from main; None before the first mark."""
        self._pages_end = 0
        """The stream's offset at which the last run of pages ended."""
        self._parser: MainParser
        self._tally: ChannelTally

    def begin(self, tally: ChannelTally, parser: MainParser) -> None:
        """See ``MainTaker``."""
        self._tally, self._parser = tally, parser

    def open_piece(self, data: memoryview, events: list[MainEvent]) -> None:
        """See ``MainTaker``."""
        self._verbatim.feed(data, events)

    def hear(self, event: MainEvent) -> None:
        """See ``MainTaker``."""
        match event:
            case Configuration():
                self._intake.machine = event.machine
            case Command(name="PING"):
                self._answer(pong(int.from_bytes(event.data, "big")))
            case BlockList():
                self._blocks = event
            case SyncMark():
                self._meet(event)
            case ZeroPages() | PageRun():
                self._take_pages(event)
            case RamEnd():
                self._intake.searching = self._intake.session.ending = True
            case EndOfStream():
                self._end = event.end

    def close_piece(self) -> None:
        """See ``MainTaker``."""
        position = self._parser.position
        self.complete = self._end == position
        if self.fill:
            # the rest of a record that has begun, so that the pieces behind it begin with one
            self.next_piece = self.most - (position - self._pages_end) % self._record

    def silent(self) -> None:
        """See ``MainTaker``."""

    def source_ended(self) -> None:
        """See ``MainTaker``; let the sink finish, and tell the source."""
        if not self.complete:
            raise MigrationFailed("main: the source ended the migration before its end")
        if self._pages is not None:
            self._pages.settle()
            self._pages.close()
        self._intake.searching = False
        self._intake.take_over(self._verbatim.ended())
        if self._intake.settings.give_back:
            self._until_source_ends()
        else:
            self._confirm()

    def source_broke(self) -> None:
        """See ``MainTaker``; the migration fails."""

    def close(self) -> None:
        """Called when main's thread has ended in any way: end the threads of ``MainPages``."""
        if self._pages is not None:
            self._pages.close()

    def _until_source_ends(self) -> None:
        """Read and drop what the source, which keeps its guest, still sends."""
        buffer = memoryview(bytearray(_CHUNK))
        with suppress(OSError):
            while self._source.receive_some(buffer) != 0:
                continue

    def _confirm(self) -> None:
        try:
            self._source.send([shut(0)])
        except (OSError, PeerTimeout) as error:
            if not self._session.asked:
                self._session.note(
                    f"the source could not be told that its guest was taken over ({error}): it may "
                    "run its guest again"
                )
                return
            self._session.note(UNHEARD)
        self._intake.sink.taken_over()
        # the end of a good migration: the source closes when it has heard
        self._source.finish()

    def _meet(self, mark: SyncMark) -> None:
        session = self._session
        if mark.index == 0:
            session.gather()
            self._begin()
        session.gate.hold(mark.index)
        session.check()
        session.check_mark(mark.index)
        if self._pages is not None:
            self._pages.mark(mark.index)
        session.gate.release(mark.index)
        self._tally.syncs += 1
        if mark.index == 0 and self._intake.settings.switchover_ack:
            self._answer(switchover_ack())

    def _begin(self) -> None:
        """Begin the sink's work: every channel is here, and none has handed over a page yet."""
        if self._blocks is None or self._parser.mode is None:
            raise RemoteProtocolError("the block list before the first mark", "none").at("main")
        intake = self._intake
        intake.sink.begin(
            StreamHead(
                intake.machine,
                intake.settings.page_size,
                self._blocks.blocks,
                self._parser.mode,
                self._session.uuid,
            )
        )
        self._pages = Threaded(intake) if intake.settings.threads else Direct(intake.sink)

    def _take_pages(self, event: ZeroPages | PageRun) -> None:
        if self._pages is None:
            raise RemoteProtocolError("a sync mark before the first page", "a page").at("main")
        if isinstance(event, PageRun):
            self._pages.take(event)
            self._pages_end = event.end
            self._tally.pages += len(event.offsets)
        else:
            self._pages.take_zeros(event)
            self._tally.zero_pages += len(event.offsets)

    def _answer(self, message: bytes) -> None:
        try:
            self._source.send([message])
        except OSError as error:
            why = f"main: the source broke the connection: {reason(error)}"
            raise MigrationFailed(why) from error
        except PeerTimeout:
            raise PeerTimeout("main: the source takes no answer") from None
