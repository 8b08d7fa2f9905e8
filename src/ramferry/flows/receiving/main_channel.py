"""The main channel that ends here: marks met, pages handed over, the rest kept, the source told."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

from ramferry.codec.base import PACKET_BYTES
from ramferry.errors import MigrationFailed, PeerTimeout, RemoteProtocolError
from ramferry.flows.contracts import StreamHead
from ramferry.flows.receiving.main_pages import Direct, MainPages, Spread
from ramferry.flows.receiving.reception import Reception
from ramferry.flows.receiving.verbatim import Verbatim
from ramferry.transport import sockets
from ramferry.wire.configuration import TARGET_PAGE_BITS
from ramferry.wire.events import (
    BlockList,
    Command,
    Configuration,
    ConfigurationSubsection,
    EndOfStream,
    MainEvent,
    NotParsed,
    PageRun,
    RamEnd,
    Resynchronised,
    SyncMark,
    ZeroPages,
)
from ramferry.wire.grammar import RECORD_SIZE
from ramferry.wire.main import MainParser
from ramferry.wire.return_path import pong, shut, switchover_ack

_CHUNK: Final = 64 * 1024
PATIENCE: Final = 0.01
"""Seconds that a piece may take to fill where all pages come on main; it delays what a source waits
for: its answers, and the end."""
_REFUSED: Final = {
    "POSTCOPY_ADVISE": "this migration may switch to postcopy, which needs a QEMU at its end: "
    "unset the postcopy-ram capability",
    "ENABLE_COLO": "this is a COLO migration, which needs a QEMU at its end: unset x-colo",
    "PACKAGED": "the source switched to postcopy, which needs a QEMU at its end",
}


class ReceivingMain:
    """Takes main in, in one thread of the reception."""

    def __init__(self, reception: Reception, source: socket.socket, first: bytes) -> None:
        self._session = reception
        self._source = source
        self._first = first
        self._parser = MainParser(page_size=reception.settings.page_size, give_pages=True)
        self._verbatim = Verbatim()
        self._tally = reception.tally.channel("main")
        self._return_path = False
        self._blocks: BlockList | None = None
        self._end: int | None = None
        """Where the stream may end."""
        self._pages: MainPages | None = None
        """Where they go, from the first mark on."""
        self._pages_end = 0
        """Where the last run of them ended in the stream."""

    def run(self) -> None:
        """Take the stream to its end, have the sink finish, and tell the source."""
        try:
            self._take_stream()
        finally:
            if self._pages is not None:
                self._pages.close()
        self._session.searching = False
        self._session.take_over(self._verbatim.ended())
        if self._session.settings.give_back:
            self._until_source_ends()
        else:
            self._confirm()

    def _take_stream(self) -> None:
        """Where all pages come on main, a piece is as long as a packet's records: a source's socket
        holds 208 KiB, and each piece costs some 80 µs of Python.
        """
        self._take(memoryview(self._first))
        record = RECORD_SIZE + self._session.settings.page_size
        large = self._session.settings.threads > 0
        size = PACKET_BYTES // self._session.settings.page_size * record if large else _CHUNK
        buffer = memoryview(bytearray(size))
        flags = socket.MSG_WAITALL if large else 0
        begun = 0
        while self._end != self._parser.position:
            # the rest of a record that has begun, so that the pieces behind it begin with one
            count = self._receive(buffer[: size - begun % record if large else size], flags)
            if not count:
                raise MigrationFailed("main: the source ended the migration before its end")
            self._take(buffer[:count])
            begun = self._parser.position - self._pages_end
        if self._pages is not None:
            self._pages.settle()

    def _until_source_ends(self) -> None:
        """It keeps its guest; nothing of what it still says matters."""
        buffer = memoryview(bytearray(_CHUNK))
        with suppress(MigrationFailed):
            while self._receive(buffer, 0):
                continue

    def _confirm(self) -> None:
        try:
            sockets.send_all(self._source, [shut(0)])
        except (OSError, PeerTimeout) as error:
            self._session.note(
                f"the source could not be told that its guest was taken over ({error}): it may run "
                "its guest again"
            )
            return
        self._session.sink.taken_over()
        # the end of a good migration: the source closes when it has heard
        sockets.finish_sending(self._source)

    def _receive(self, buffer: memoryview, flags: int) -> int:
        """The next bytes of the stream, as many as there are; 0 at its end.

        :param flags: with ``MSG_WAITALL`` those of up to ``PATIENCE`` seconds.
        """
        while True:
            self._session.check()
            try:
                return self._source.recv_into(buffer, 0, flags)
            except BlockingIOError:  # silence is no fault on main: the loop judges stalls
                continue
            except OSError as error:
                self._session.check()
                raise MigrationFailed(f"main: the source broke the connection: {error}") from error

    def _take(self, data: memoryview) -> None:
        self._tally.bytes_in += len(data)
        events = self._parser.feed(data)
        self._verbatim.feed(data, events)
        for event in events:
            self._hear(event)

    def _hear(self, event: MainEvent) -> None:  # one arm for each thing main may say
        session = self._session
        match event:
            case Configuration():
                session.machine = event.machine
            case ConfigurationSubsection():
                self._judge_pages(event)
            case Command():
                self._command(event)
            case BlockList():
                self._take_blocks(event)
            case SyncMark():
                self._meet(event)
            case ZeroPages() | PageRun():
                self._take_pages(event)
            case NotParsed():
                session.lost_sight(event.idstr, event.why)
            case Resynchronised():
                session.regained_sight()
            case RamEnd():
                session.searching = True
            case EndOfStream():
                self._end = event.end

    def _judge_pages(self, event: ConfigurationSubsection) -> None:
        size = self._session.settings.page_size
        if event.name == TARGET_PAGE_BITS and isinstance(event.value, int):
            found = 1 << event.value
            if found != size:
                raise MigrationFailed(f"the guest's pages have {found} bytes, not {size}")

    def _command(self, command: Command) -> None:
        if command.name == "OPEN_RETURN_PATH":
            self._return_path = True
        elif command.name == "PING":
            self._answer(pong(int.from_bytes(command.data, "big")))
        elif command.name in _REFUSED and (command.data or command.name != "POSTCOPY_ADVISE"):
            raise MigrationFailed(_REFUSED[command.name])

    def _take_blocks(self, event: BlockList) -> None:
        if not self._return_path:
            raise MigrationFailed(
                "the source opened no return path, so it would never learn that its guest was "
                "taken over: set the return-path capability on the source and migrate again"
            )
        self._blocks = event
        self._session.blocks.update((block.name, block.used_length) for block in event.blocks)

    def _meet(self, mark: SyncMark) -> None:
        session = self._session
        if mark.index == 0:
            session.gather()
            self._begin()
        session.gate.hold(mark.index)
        session.check()
        if self._pages is not None:
            self._pages.mark(mark.index)
        session.gate.release(mark.index)
        self._tally.syncs += 1
        if mark.index == 0 and session.settings.switchover_ack:
            self._answer(switchover_ack())

    def _begin(self) -> None:
        """Every channel is here, and none has handed over a page before the first mark."""
        if self._blocks is None or self._parser.mode is None:
            raise RemoteProtocolError("the block list before the first mark", "none").at("main")
        session = self._session
        session.sink.begin(
            StreamHead(
                session.machine,
                session.settings.page_size,
                self._blocks.blocks,
                self._parser.mode,
                session.uuid,
            )
        )
        self._pages = Spread(session) if session.settings.threads else Direct(session.sink)

    def _take_pages(self, event: ZeroPages | PageRun) -> None:
        if not self._tally.syncs or self._pages is None:
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
            sockets.send_all(self._source, [message])
        except OSError as error:
            raise MigrationFailed(f"main: the source broke the connection: {error}") from error
        except PeerTimeout:
            raise PeerTimeout("main: the source takes no answer") from None
