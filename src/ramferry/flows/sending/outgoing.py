"""Every connection of a migration that begins here: main, and channels with a thread each.

The order is a source's: main is connected before any channel, each round's pages are on the wire
before its SYNCs, and those before its mark on main (``docs/wire-format.md``).
"""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Final, Self

from ramferry.errors import MigrationFailed, PeerTimeout, RamferryError, RemoteProtocolError
from ramferry.flows.contracts import Batch
from ramferry.flows.sending.channel import SendingChannel, SendSettings
from ramferry.flows.sending.handout import Handout
from ramferry.flows.tally import Tally
from ramferry.flows.throttle import BufferGovernor
from ramferry.metrics import RelayCounters
from ramferry.transport import budget, sockets
from ramferry.transport.pacing import Pacer
from ramferry.wire.return_path import ReturnPathParser, Shut

_LOOK: Final = 0.05
"""Seconds between two looks at the rate while batches are sent."""

_PIECE: Final = 0.1
"""Seconds between two looks while the destination takes the last bytes, and has yet to answer."""
_UNREACHABLE: Final = frozenset(
    {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN}
)


class Outgoing:
    """The connections towards one destination; a context manager that ends them."""

    def __init__(self, settings: SendSettings) -> None:
        """:raise UsageError: there is no such method, or it has no such level."""
        self._settings = settings
        self.error: RamferryError | None = None
        """Why it ended early."""
        self.tally = Tally(settings.page_size)
        self.rounds = 0
        """Marks sent."""
        self._pacer = Pacer(settings.max_bandwidth)
        self._handout = Handout()
        self._channels = [SendingChannel(self, settings, id) for id in range(settings.channels)]
        self._governor = BufferGovernor(lambda: self.tally.bytes_out, sending=self._multifd)
        self._main: socket.socket | None = None
        self._main_tally = self.tally.channel("main")
        self._shut: Shut | None = None
        self._sealed = False
        """What lets the destination start the guest is on its way."""
        self._answered = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def counters(self) -> RelayCounters:
        """What was sent so far."""
        return self.tally.snapshot(self.rounds)

    @property
    def pages(self) -> int:
        """Pages sent so far, zero pages included."""
        return sum(one.pages + one.zero_pages for one in self.tally.channels)

    def set_bandwidth(self, rate: float) -> None:
        """Change the cap, in wire bytes per second; 0: none."""
        self._pacer.rate = rate

    def open(self) -> None:
        """Connect main, then every channel, and start the threads.

        :raise PeerUnreachable: nobody accepts.
        """
        self._main = self._connect()
        self._start("return path", self._listen)
        for channel in self._channels:
            channel.open(self._connect())
        for channel in self._channels:
            self._start(channel.name, channel.run)

    def main(self, data: bytes) -> None:
        """Send bytes on main.

        :raise RamferryError: the migration has failed.
        """
        self.check()
        assert self._main is not None
        try:
            self._main_tally.bytes_out += sockets.send_all(self._main, [data])
        except (OSError, PeerTimeout) as error:
            self.abort(MigrationFailed(f"main: the destination takes no more: {error}"))
            self.check()

    def carry(self, batches: Iterable[Batch], waiting: Callable[[], None] = lambda: None) -> None:
        """Have the channels load, compress and send every batch; returns when all are sent.

        :param batches: drawn from in the channels' threads, one at a time.
        :param waiting: called now and then in this thread; what it raises ends the wait.
        :raise RamferryError: the migration has failed.
        """
        self.check()
        self._handout.give(batches)
        while not self._handout.done(_LOOK):
            self._governor.adjust()
            waiting()
        self.check()

    def sync(self, mark: bytes) -> None:
        """End a round: a SYNC on every channel, then ``mark``.

        :raise RamferryError: the migration has failed.
        """
        self.check()
        for channel in self._channels:
            channel.sync()
        self.main(mark)
        self.rounds += 1

    def hand_over(self, tail: bytes, waiting: Callable[[], None] = lambda: None) -> int:
        """Send the rest, with which the destination may start the guest, and wait for its SHUT.

        From the first of these bytes on only the destination knows whether its guest runs. So no
        silence ends this, and no nonsense that it says: only SHUT, and the end of main, which TCP's
        keepalive notices, too (25 s).

        :param waiting: called before the first byte, and then now and again; what it raises ends
            the wait.
        :return: SHUT's error, 0 where the destination took the guest over.
        :raise RamferryError: main ended; nobody knows whether the guest runs there.
        """
        self.check()
        waiting()
        self._sealed = True
        self._send_patiently(tail, waiting)
        while not self._answered.wait(_PIECE):
            waiting()
        if self._shut is None:
            self.check()
            raise MigrationFailed(self._closed())
        return self._shut.error

    def _send_patiently(self, data: bytes, waiting: Callable[[], None]) -> None:
        assert self._main is not None
        sockets.tune(self._main, _PIECE)
        left = memoryview(data)
        while left and not self._answered.is_set():
            try:
                sent = self._main.send(left)
            except BlockingIOError:  # silence is no end
                sent = 0
            except OSError as error:
                self.abort(MigrationFailed(f"main: the destination takes no more: {error}"))
                self.check()
            self._main_tally.bytes_out += sent
            left = left[sent:]
            waiting()

    def check(self) -> None:
        """:raise RamferryError: the migration has failed; the first cause."""
        if self.error is not None:
            raise self.error

    def abort(self, error: RamferryError) -> None:
        """End every connection, main first: the destination waits there for no SYNC.

        Safe from any thread; the first error stays.
        """
        with self._lock:
            self.error = self.error or error
        self._pacer.end()
        self._handout.drop()
        for sock in self._sockets():
            sockets.cut(sock)

    def close(self) -> None:
        """Wait for the threads and free the sockets; without a good end the migration fails."""
        if self._shut is None:
            self.abort(MigrationFailed("the migration was given up"))
        self._handout.end()
        for sock in self._sockets():
            sockets.cut(sock)
        for thread in self._threads:
            thread.join(5.0)
        for sock in self._sockets():
            sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def next(self) -> Batch | None:
        """For a channel: what to send next, as what it took before is sent; None at the end."""
        return self._handout.next()

    def send(self, sock: socket.socket, parts: list[sockets.Buffer], size: int) -> None:
        """For a channel: send a packet when its slot comes."""
        self._pacer.wait(size)
        self.check()
        sockets.send_all(sock, parts)

    def _multifd(self) -> list[socket.socket]:
        return [one.sock for one in self._channels if one.sock is not None]

    def _sockets(self) -> list[socket.socket]:
        return [*([self._main] if self._main is not None else []), *self._multifd()]

    def _connect(self) -> socket.socket:
        sock = sockets.connect(self._settings.connect)
        sockets.tune(sock, self._settings.stall_timeout)
        sockets.set_buffers(sock, send=budget.INITIAL)
        return sock

    def _start(self, name: str, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        """Read the return path to its end."""
        assert self._main is not None
        parser = ReturnPathParser()
        try:
            while data := self._receive(self._main):
                for event in parser.feed(data):
                    if isinstance(event, Shut):
                        self._shut = event
                        self._answered.set()
        except RemoteProtocolError as error:
            self._end_of_sense(error)
        if self._shut is None:
            self.abort(MigrationFailed(self._closed()))
        self._answered.set()

    def _end_of_sense(self, error: RemoteProtocolError) -> None:
        """The destination says what cannot be: that ends it, but not where the guest may run."""
        assert self._main is not None
        if self._sealed:
            while self._receive(self._main):
                continue
        self.abort(error)

    def _closed(self) -> str:
        if not self._sealed:
            return "the destination closed the main channel: see its log"
        return "the destination closed the main channel without an answer"

    def _receive(self, sock: socket.socket) -> bytes:
        while True:
            try:
                return sock.recv(4096)
            except BlockingIOError:  # nothing to say is no fault
                if self.error is not None:
                    return b""
            except OSError as error:
                if error.errno in _UNREACHABLE:
                    # not the destination's doing: its log would say nothing
                    self.abort(MigrationFailed(f"main: the network failed: {error.strerror}"))
                return b""
