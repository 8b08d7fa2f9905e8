"""The main channel coming in: reads, parses and judges it, and hands it on piece by piece."""

from __future__ import annotations

from typing import Final, Protocol

from ramferry.errors import MigrationFailed, RemoteProtocolError
from ramferry.flows.inlet.judge import Judge, Words, read_preamble
from ramferry.flows.session.session import Session
from ramferry.flows.session.tally import ChannelTally
from ramferry.transport.connection import Connection
from ramferry.transport.sockets import reason
from ramferry.wire.events import (
    BlockList,
    MainEvent,
    NotParsed,
    Resynchronised,
    SyncMark,
    Unread,
)
from ramferry.wire.main import MainParser

_UNDECIDED: Final = 16 << 20
"""Bytes of main that may come before its first sync mark, by which it is known whether it is a
plain stream; some hundred in practice."""


class MainTaker(Protocol):
    """What takes main; every method is called in main's thread."""

    @property
    def most(self) -> int:
        """Most bytes of a piece."""

    @property
    def next_piece(self) -> int:
        """Wanted size of the next piece, in bytes."""

    @property
    def fill(self) -> bool:
        """Whether to wait until a piece is full, up to the time of ``Connection.settle``'s
        ``piece``."""

    @property
    def complete(self) -> bool:
        """Whether the stream is complete, by its own content."""

    def begin(self, tally: ChannelTally, parser: MainParser) -> None:
        """Called once, before the first piece."""

    def open_piece(self, data: memoryview, events: list[MainEvent]) -> None:
        """Called for each piece of the stream, with the events in it; ``data`` is valid until
        ``close_piece`` returns."""

    def hear(self, event: MainEvent) -> None:
        """Take the next event of the piece."""

    def close_piece(self) -> None:
        """Called after the last event of the piece."""

    def silent(self) -> None:
        """Called repeatedly while nothing comes."""

    def source_ended(self) -> None:
        """Called when the source closed main, or the stream is complete."""

    def source_broke(self) -> None:
        """Called when main's connection broke, before the migration fails for that."""


class MainInlet:
    """Carries main from the source to a taker, in one thread."""

    def __init__(
        self,
        session: Session,
        source: Connection,
        first: bytes,
        taker: MainTaker,
        words: Words,
        *,
        whole_preamble: bool = False,
        give_pages: bool = False,
        plain: bool = False,
        unanswered: bool = False,
        counts: bool = True,
    ) -> None:
        """
        :param first: bytes of main that were read already.
        :param words: for errors about what cannot be carried.
        :param whole_preamble: whether to read and judge everything before the first section before
            the taker's ``begin``.
        :param give_pages: whether the events include pages that come on main.
        :param plain: whether this may be a plain stream, which is carried whatever it says.
        :param unanswered: whether a plain stream may be without a return path.
        :param counts: whether the bytes that come are counted here; a tunnel counts its own.
        """
        self._session = session
        self._source = source
        self._first = first
        self._taker = taker
        self._plain = session.plain
        self._plain.possible = plain and not self._plain.chosen
        self._unanswered = unanswered
        self._counts = counts
        self._judge = Judge(session.settings.page_size, words, session.plain)
        self._parser = MainParser(
            page_size=session.settings.page_size, give_pages=give_pages, mixed=plain
        )
        self._whole_preamble = whole_preamble
        self._error: RemoteProtocolError | None = None
        """Why main cannot be parsed any more."""
        self._tally = session.tally.channel("main")

    def run(self) -> None:
        """Carry the stream to its end.

        :raise RamferryError: it cannot be carried, or broke.
        """
        taker, parser = self._taker, self._parser
        self._count(len(self._first))
        data, events = self._preamble() if self._whole_preamble else self._beginning()
        taker.begin(self._tally, parser)
        if not (self._plain.open or self._plain.raw):
            self._judge.decide(unanswered=False)  # of what a plain stream might have done
        self._take(data, events)
        buffer = memoryview(bytearray(taker.most))
        while not taker.complete and (count := self._receive(buffer[: taker.next_piece])):
            piece = buffer[:count]
            self._take(piece, self._parse(piece))
        taker.source_ended()

    def _parse(self, piece: bytes | memoryview) -> list[MainEvent]:
        """The events of a piece; of a plain stream that cannot be parsed the last one is an
        ``Unread``.

        :raise RemoteProtocolError: it cannot be parsed, and this is no plain stream.
        """
        if self._plain.blind or self._error is not None:
            return []
        try:
            return self._parser.feed(piece)
        except RemoteProtocolError as error:
            if not (self._plain.possible or self._plain.chosen):
                raise
            self._error, here = error, self._parser.position
            return [*self._parser.salvage(), Unread(here, here, str(error))]

    def _beginning(self) -> tuple[memoryview, list[MainEvent]]:
        return memoryview(self._first), self._parse(self._first)

    def _preamble(self) -> tuple[memoryview, list[MainEvent]]:
        """Read up to the first section and judge whether this stream can be taken at all."""
        data, events = read_preamble(self._first, self._parse, self._receive)
        for event in events:
            self._judge.look(event)
        self._judge.need_return_path()
        return data, events

    def _decide(self) -> None:
        """Find out whether this is a plain stream: all that the source connects has connected
        before its first sync mark.

        :raise RamferryError: it cannot be carried.
        """
        plain = self._plain
        if self._parser.mode == "round" and not plain.chosen:
            plain.possible = False  # only with multifd there are marks of their own
        self._session.gather()
        if self._error is not None and not plain.chosen:
            raise self._error
        self._judge.decide(unanswered=self._unanswered)

    def _take(self, data: memoryview, events: list[MainEvent]) -> None:
        taker = self._taker
        taker.open_piece(data, events)
        for event in events:
            self._look(event)
            taker.hear(event)
            if self._plain.blind:
                break  # the rest is bytes
        if self._plain.open and self._parser.position > _UNDECIDED:
            self._decide()
        taker.close_piece()

    def _look(self, event: MainEvent) -> None:
        self._judge.look(event)
        match event:
            case BlockList():
                # at once: other threads see none of them or all
                self._session.blocks.update(
                    {block.name: block.used_length for block in event.blocks}
                )
            case NotParsed():
                self._session.lost_sight(event.idstr, event.why)
            case Resynchronised():
                self._session.regained_sight()
            case SyncMark() if self._plain.open:
                self._decide()
            case Unread():
                self._unread(event)

    def _unread(self, event: Unread) -> None:
        """Main is only bytes from here on."""
        self._plain.unread = event.why
        if self._plain.open:
            self._decide()
        self._session.note(
            f"main: from byte {event.start} on, carried as bytes, not parsed ({event.why})"
        )

    def _count(self, count: int) -> None:
        self._tally.bytes_in += count if self._counts else 0

    def _receive(self, buffer: memoryview) -> int:
        """Receive the next bytes of the stream; 0 at its end. Waits without limit, because the
        flow's loop judges stalls."""
        while True:
            self._session.check()
            try:
                count = self._source.receive_some(buffer, whole=self._taker.fill)
            except RemoteProtocolError as error:
                raise error.at("main") from None
            except OSError as error:
                self._session.check()
                self._taker.source_broke()
                why = f"main: the source broke the connection: {reason(error)}"
                raise MigrationFailed(why) from error
            if count is not None:
                self._count(count)
                return count
            self._taker.silent()
