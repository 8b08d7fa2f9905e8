"""The main channel: forward with its sync marks held, back with the destination's answer."""

from __future__ import annotations

import socket
from typing import Final

from ramferry.errors import MigrationFailed, PeerTimeout, RemoteProtocolError
from ramferry.flows.gate import Unwind
from ramferry.flows.loop import hung_up
from ramferry.flows.migration import Phase
from ramferry.flows.preamble import Judge, read_preamble
from ramferry.flows.session import Session
from ramferry.transport import budget, sockets
from ramferry.wire.events import (
    BlockList,
    MainEvent,
    NotParsed,
    RamEnd,
    Resynchronised,
    SyncMark,
)
from ramferry.wire.main import MainParser
from ramferry.wire.return_path import ReturnPathParser, Shut

_CHUNK: Final = 64 * 1024


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
        self._judge = Judge(session.settings.page_size)
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
        held = read_preamble(self._first, self._parser, self._receive)
        for event in held[1]:
            self._judge.look(event)
        self._judge.need_return_path()
        return [held]

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
            self._judge.look(event)
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
            where = (
                f"no answer was heard; {where}, and with `info status`, where another relay is "
                "between, that the guest does not run there"
            )
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
