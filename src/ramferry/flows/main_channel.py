"""The main channel: forward with its sync marks held, back with the destination's answer."""

from __future__ import annotations

import socket
from typing import Final

from ramferry.errors import MigrationFailed, PeerTimeout, RemoteProtocolError
from ramferry.flows.gate import Unwind
from ramferry.flows.loop import hung_up
from ramferry.flows.migration import Phase
from ramferry.flows.session import Session
from ramferry.transport import budget, sockets
from ramferry.wire.configuration import TARGET_PAGE_BITS
from ramferry.wire.events import (
    BlockList,
    Command,
    ConfigurationSubsection,
    MainEvent,
    NotParsed,
    RamEnd,
    Resynchronised,
    SectionStart,
    SyncMark,
)
from ramferry.wire.main import MainParser
from ramferry.wire.return_path import ReturnPathParser, Shut

_CHUNK: Final = 64 * 1024
_MAX_PREAMBLE: Final = 64 * 1024
"""Bytes before the first section: header, configuration, commands; some hundred in practice."""
_REFUSED: Final = {
    "POSTCOPY_ADVISE": "this migration may switch to postcopy, which a relay does not carry: "
    "unset the postcopy-ram capability",
    "ENABLE_COLO": "this is a COLO migration, which a relay does not carry: unset x-colo",
    "PACKAGED": "the source switched to postcopy, which a relay does not carry",
}


class MainChannel:
    """Carries main in both directions: two threads of the session."""

    def __init__(self, session: Session, source: socket.socket, first: bytes) -> None:
        self._session = session
        self._source = source
        self._first = first
        self._parser = MainParser(page_size=session.settings.page_size)
        self._tally = session.tally.channel("main")
        self._seen = 0
        """Absolute offset in the stream up to which bytes were received and parsed."""
        self._sent = 0
        """The same, up to which they went on."""
        self._return_path = False
        self._deaf = False
        """True once the return path cannot be parsed."""
        self._destination: socket.socket
        session.refuse_the_rest = self._refuse_the_rest

    def run(self) -> None:
        """Carry the stream from the source to its end."""
        held = self._preamble()
        self._connect()
        for data, events in held:
            self._forward(data, events)
        buffer = memoryview(bytearray(_CHUNK))
        while count := self._receive(buffer):
            data = buffer[:count]
            self._forward(data, self._parser.feed(data))
        self._source_ended()

    def farewell(self) -> None:
        """Nothing more will come: the destination decides by what it got.

        Its answer is still carried back.
        """
        sockets.finish_sending(self._destination)

    def _receive(self, buffer: memoryview) -> int:
        """The next bytes of the stream, as many as there are; 0 at its end."""
        while True:
            self._session.check()
            try:
                count = self._source.recv_into(buffer)
            except BlockingIOError:  # silence is no fault on main: the loop judges stalls
                continue
            except OSError as error:
                self._session.check()
                if self._session.phase is Phase.SWITCHOVER:
                    self._leave_to_the_destination()
                raise MigrationFailed(f"main: the source broke the connection: {error}") from error
            self._tally.bytes_in += count
            return count

    def _preamble(self) -> list[tuple[memoryview, list[MainEvent]]]:
        """Read up to the first section and judge whether this stream can be carried at all."""
        self._tally.bytes_in += len(self._first)
        # one piece, however small those are in which it comes: they are not kept
        data, fresh = bytearray(self._first), self._parser.feed(self._first)
        events, buffer = list(fresh), memoryview(bytearray(4096))
        while not any(isinstance(event, SectionStart) for event in fresh):
            count = self._receive(buffer)
            if not count:
                raise MigrationFailed("main: the source gave up before it sent any section")
            data += buffer[:count]
            if len(data) > _MAX_PREAMBLE:
                raise RemoteProtocolError(
                    f"a section within {_MAX_PREAMBLE} bytes", "none", channel="main"
                )
            fresh = self._parser.feed(buffer[:count])
            events += fresh
        for event in events:
            self._judge(event)
        if not self._return_path:
            raise MigrationFailed(
                "the source opened no return path, so nobody would learn whether the destination "
                "took over: set the return-path capability on both QEMUs and migrate again"
            )
        return [(memoryview(data), events)]

    def _judge(self, event: MainEvent) -> None:
        if isinstance(event, ConfigurationSubsection):
            self._judge_pages(event)
        if not isinstance(event, Command):
            return
        if event.name == "OPEN_RETURN_PATH":
            self._return_path = True
        elif event.name in _REFUSED and not _for_bitmaps_alone(event):
            raise MigrationFailed(_REFUSED[event.name])

    def _judge_pages(self, event: ConfigurationSubsection) -> None:
        if event.name == TARGET_PAGE_BITS and isinstance(event.value, int):
            size = 1 << event.value
            if size != self._session.settings.page_size:
                raise MigrationFailed(
                    f"the guest's pages have {size} bytes: pass --page-size {size}"
                )

    def _connect(self) -> None:
        session = self._session
        self._destination = sockets.connect(session.settings.connect)
        session.adopt(self._destination, main=True)
        sockets.tune(self._destination, session.settings.stall_timeout)
        sockets.set_buffers(self._destination, send=budget.INITIAL)
        session.check()
        session.start("return path", self._carry_back)
        session.onward.set()

    def _forward(self, data: memoryview, events: list[MainEvent]) -> None:
        """Send ``data`` on, stopping before each mark until its channels are ready."""
        self._seen += len(data)
        for event in events:
            self._judge(event)
            match event:
                case BlockList():
                    self._session.blocks.update(
                        (block.name, block.used_length) for block in event.blocks
                    )
                case SyncMark():
                    self._send_up_to(event.start, data)
                    self._pass_mark(event, data)
                case NotParsed():
                    self._session.lost_sight(event.idstr, event.why)
                case Resynchronised():
                    self._session.regained_sight()
                case RamEnd():
                    # with what follows, the destination may start its guest
                    if not self._session.advance(Phase.SWITCHOVER):
                        raise Unwind
        self._send_up_to(self._seen, data)

    def _pass_mark(self, mark: SyncMark, data: memoryview) -> None:
        session = self._session
        if mark.index == 0:
            session.gather()
        session.gate.hold(mark.index)
        if session.gate.gated:
            session.until_consumed()
        session.check()
        self._send_up_to(mark.end, data)
        session.gate.release(mark.index)
        self._tally.syncs += 1

    def _send_up_to(self, offset: int, data: memoryview) -> None:
        """Send what is unsent before the stream's ``offset``; ``data`` ends where ``_seen`` is."""
        if offset <= self._sent:
            return
        first = self._seen - len(data)
        part = data[max(self._sent - first, 0) : offset - first]
        if self._session.phase is Phase.SWITCHOVER and hung_up(self._source.fileno()):
            self._refuse_the_rest()
        # main's few bytes do not queue behind packets: a late mark would hold every channel
        self._session.pacer.charge(len(part))
        try:
            self._tally.bytes_out += sockets.send_all(self._destination, [part])
        except OSError as error:
            raise MigrationFailed(f"main: the destination broke the connection: {error}") from error
        except PeerTimeout:
            raise PeerTimeout("main: the destination takes no more bytes") from None
        self._sent = offset

    def _source_ended(self) -> None:
        """The source closed main: the end of a good migration, a cancel, or its death."""
        if self._session.phase < Phase.SWITCHOVER:
            raise MigrationFailed("main: the source ended the migration before its last round")
        self._leave_to_the_destination()

    def _leave_to_the_destination(self) -> None:
        """A source that ends main in the switchover, before the answer, goes on with its guest.

        So the destination must not start it, where that can still be prevented. What it has taken
        already is its own to judge, as is what lies in a UNIX socket: its answer is waited for.
        """
        self._refuse_the_rest()
        self._session.check()
        if not self._session.taken_on_main():
            self._withdraw()
            self._session.check()

    def _refuse_the_rest(self) -> None:
        """The same from the loop's thread, where main's is held up in sending."""
        if self._sent < self._seen:
            self._withdraw()

    def _withdraw(self) -> None:
        self._session.fail_in_switchover(
            MigrationFailed(
                "main: the source ended the migration in the switchover, before the answer: the "
                "rest of the stream was withdrawn, so that the destination does not start the "
                "guest; see with `info status` there that it does not run"
            )
        )

    def _carry_back(self) -> None:
        """Carry the return path and learn from it how the migration ended."""
        parser = ReturnPathParser()
        buffer = memoryview(bytearray(4096))
        shut: Shut | None = None
        while count := self._receive_back(buffer):
            shut = self._hear(parser, buffer[:count]) or shut
            if shut is not None and not shut.error:
                self._confirm()
            self._send_back(buffer[:count], shut)
            if shut is not None and shut.error:
                self._refused(shut)
        if shut is None:
            self._unanswered()

    def _unanswered(self) -> None:
        """The destination's main channel ended without a SHUT.

        A QEMU that ends it so has refused the guest or died. In the switchover that may also be a
        relay between, and only the QEMU behind it knows whether it has the guest.
        """
        where = "see its log for the cause"
        if self._session.phase is Phase.SWITCHOVER:
            where += "; where another relay is between, see with `info status` that it does not run"
        self._session.fail(
            MigrationFailed(
                f"the destination closed the main channel without taking over: {where}"
            ),
            final=True,
        )

    def _hear(self, parser: ReturnPathParser, data: memoryview) -> Shut | None:
        """The destination's last word, if ``data`` completes it."""
        if self._deaf:
            return None
        try:
            events = parser.feed(data)
        except RemoteProtocolError as error:
            # in the switchover the source must judge it: an answer may still come, to be carried
            self._deaf = True
            self._session.fail(error)
            self._session.check()
            return None
        return next((event for event in events if isinstance(event, Shut)), None)

    def _confirm(self) -> None:
        """The destination has taken over: from here on nothing that breaks can undo it."""
        session = self._session
        if session.phase < Phase.SWITCHOVER and session.sighted:
            session.fail(
                RemoteProtocolError("no SHUT before ram's END", "SHUT 0", channel="return path")
            )
            session.check()
        if not session.advance(Phase.CONFIRMED):
            session.note(
                "the destination took over after the source had given the migration up: the guest "
                "runs at the destination, stop the source's QEMU"
            )

    def _receive_back(self, buffer: memoryview) -> int:
        while True:
            try:
                return self._destination.recv_into(buffer)
            except BlockingIOError:
                self._session.check()
            except OSError:
                return 0

    def _send_back(self, data: memoryview, shut: Shut | None) -> None:
        try:
            sockets.send_all(self._source, [data])
        except (OSError, PeerTimeout) as error:
            if shut is not None and not shut.error:
                self._session.note(
                    "the source could not be told that the destination took over "
                    f"({error}): the guest runs at the destination, stop the source's QEMU"
                )

    def _refused(self, shut: Shut) -> None:
        self._session.fail(
            MigrationFailed(f"the destination refused the guest (SHUT with error {shut.error})"),
            final=True,
        )


def _for_bitmaps_alone(event: Command) -> bool:
    """Postcopy is advised, without page sizes, also where only dirty-bitmaps is set: RAM stays."""
    return event.name == "POSTCOPY_ADVISE" and not event.data
