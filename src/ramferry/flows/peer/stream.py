"""A tunnel between two Ramferrys: one stream over several connections, as a ``Connection``.

The stream is cut into pieces (``wire.relay_stream``), which are compressed on one side, inflated on
the other and put back in order; both directions use the same connections. It behaves as one
connection: half-closes come in order, and a cut of any of its connections is a reset of all.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from ramferry.errors import PeerTimeout, RamferryError, RemoteProtocolError, kernel_error
from ramferry.flows.peer.stream_codecs import StreamCodecs
from ramferry.flows.peer.stream_decoding import PieceReceiver
from ramferry.flows.peer.stream_encoding import PieceSender
from ramferry.flows.peer.stream_in import StreamIn
from ramferry.flows.peer.stream_out import StreamOut
from ramferry.flows.session.session import Session
from ramferry.transport import budget
from ramferry.transport.connection import Connection, receive_by_some
from ramferry.vocabulary import AUTO, Buffer
from ramferry.wire.relay_packing import PagesAt
from ramferry.wire.relay_stream import Direction, Seal

if TYPE_CHECKING:
    from ramferry.flows.choosing.chooser import Chooser

_FOR_EVER: Final = 1e6
"""Seconds."""
_END: Final = 1.0
"""Seconds that its threads may take to end, once its connections were cut."""


class Tunnel:
    """A ``Connection`` over several, which it owns; it works once it was started. It copies what
    it is given, to send it after a call has returned: ``unsent`` counts that as well."""

    def __init__(
        self,
        connections: Sequence[Connection],
        token: bytes,
        way: Direction,
        *,
        method: str,
        verify: bool,
    ) -> None:
        """
        :param connections: their openings, with their places, were sent or received.
        :param token: the migration's.
        :param way: in which this side sends.
        :param method: the multifd method of what is sent.
        :param verify: whether digests were agreed.
        """
        self.connections = tuple(connections)
        """In the order of their places."""
        self.windowed = True
        """What was sent may wait here, so only ``unsent`` tells what the peer has."""
        self.method = method
        self._token = token
        self._way = way
        self._verify = verify
        self._out: StreamOut
        self._in: StreamIn
        self._broken: Exception | None = None
        self._lock = threading.Lock()
        self._running = 0
        """Threads that have not ended."""
        self._over = threading.Condition(self._lock)
        self._level: int | None = None
        self._member_size = AUTO
        self._chooser: Chooser | None = None

    def encode_with(self, level: int | None, member_size: str, chooser: Chooser | None) -> None:
        """Set how what is sent is compressed; called before ``start``. Without it the method's
        default level is used. If that is "auto", ``chooser`` chooses each piece's."""
        self._level, self._member_size, self._chooser = level, member_size, chooser

    def start(self, session: Session) -> None:
        """Begin to carry, in threads of the migration.

        Its connections count in the tally as "stream 0", "stream 1" …, in the direction from the
        side that connected to the other one.
        """
        settings, onward = session.settings, self._way is Direction.ONWARD
        back = Direction.BACK if self._way is Direction.ONWARD else Direction.ONWARD
        codecs = StreamCodecs(session, onward=onward)
        encoders = codecs.encoders(self.method, self._level, self._member_size, self._chooser)
        seal = partial(Seal, self._token, payloads=self._verify)
        senders, receivers = [], []
        for index, one in enumerate(self.connections):
            tally = session.tally.channel(f"stream {index}")
            goes, comes = (tally, None) if onward else (None, tally)
            senders.append(PieceSender(one, seal(self._way), self.method, encoders, goes))
            size = settings.page_size
            receivers.append(PieceReceiver(one, seal(back), size, codecs.decoder, comes))
        self._out = StreamOut(senders, settings.page_size, packs=self.method != "none")
        self._in = StreamIn(receivers)
        self._settle_and_run(session)

    def _settle_and_run(self, session: Session) -> None:
        stall_timeout = session.settings.stall_timeout
        for one in self.connections:
            # whoever sends or receives is told of a silent peer; what waits here is not
            one.settle(_FOR_EVER, piece=stall_timeout)
        self.settle(stall_timeout)
        self._running = 2 * len(self.connections)
        for index in range(len(self.connections)):
            run = partial(self._run, session, index)
            session.start(f"stream {index} in", partial(run, self._in.run))
            session.start(f"stream {index} out", partial(run, self._out.run))

    def _run(self, session: Session, index: int, body: Callable[[int], None]) -> None:
        """One thread: its error is the tunnel's, and raised to who sends or receives."""
        try:
            body(index)
        except RemoteProtocolError as error:
            found = error.at(f"stream {index}")
            # before a connection ends, of which the far end would say that it broke
            session.fail(found)
            self._break(found)
        except (OSError, RamferryError) as error:
            self._break(error)
        except BaseException:
            self._break(kernel_error(errno.ECONNRESET))
            raise
        finally:
            with self._lock:
                self._running -= 1
                self._over.notify_all()

    def _break(self, error: Exception) -> None:
        with self._lock:
            first = self._broken is None
            self._broken = cause = self._broken or error
        self._end_threads(cause)
        for one in self.connections if first else ():
            with contextlib.suppress(OSError):
                one.reset()

    def _end_threads(self, error: Exception) -> None:
        if hasattr(self, "_in"):
            self._in.fail(error)
            self._out.fail(error)

    # --- bytes in

    def receive(self, view: memoryview, least: int | None = None, *, idle: bool = False) -> int:
        """See ``Connection``."""
        return receive_by_some(self, view, least, idle=idle)

    def receive_some(self, view: memoryview, *, whole: bool = False) -> int | None:
        """See ``Connection``.

        :raise RemoteProtocolError: a piece was damaged on its way.
        """
        return self._in.receive_some(view, whole=whole)

    def receive_piece(self) -> list[Buffer] | None:
        """The next bytes of the stream, uncopied, in parts that are valid until the next call that
        receives; empty at the end of the stream, None if nothing came within the time that
        ``settle`` allows.

        :raise OSError: the tunnel broke.
        :raise RemoteProtocolError: a piece was damaged on its way.
        """
        return self._in.receive_piece()

    def unread(self) -> int:
        """See ``Connection``; what has come on its connections counts as it is there."""
        return self._in.unread + sum(one.unread() for one in self.connections)

    def heard_at(self) -> float:
        """See ``Connection``."""
        return max(one.heard_at() for one in self.connections)

    def acknowledge(self) -> None:
        """See ``Connection``."""
        for one in self.connections:
            one.acknowledge()

    # --- bytes out

    def send(self, parts: list[Buffer]) -> int:
        """See ``Connection``."""
        with self._sending():
            for part in parts:
                self._out.send(memoryview(part))
            self._out.flush()
        return sum(map(len, parts))

    def send_pages(self, data: memoryview, runs: Sequence[PagesAt] = ()) -> None:
        """Send bytes of the stream in which whole pages lie, which are packed apart from the rest.

        :param data: the caller's again on return.
        :param runs: where the pages are, in order, none over another; that they lie in ``data`` is
            the caller's to know.
        :raise OSError: the tunnel broke.
        :raise PeerTimeout: the peer takes nothing for the stall limit.
        """
        with self._sending():
            self._out.send(data, runs)
            self._out.flush()

    def send_some(self, data: Buffer) -> int:
        """See ``Connection``."""
        with self._sending():
            return self._out.offer(memoryview(data))

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        """A piece that was sent in part leaves nothing of use."""
        try:
            yield
        except PeerTimeout:
            raise
        except (OSError, RamferryError) as error:
            if self._broken is None and not self._out.finished:
                self._break(error)
            raise

    def unsent(self) -> int:
        """See ``Connection``; what waits to be sent counts as it is in the stream."""
        return self._out.pending + sum(one.unsent() for one in self.connections)

    def limit(self, size: float) -> None:
        """Set how many bytes may wait here to be sent: what the peer drains in some milliseconds,
        ``transport.budget.outbox``."""
        self._out.limit(size)

    # --- size and time

    def fileno(self) -> int:
        """The descriptor of its first connection: to see its end there, not arrivals."""
        return self.connections[0].fileno()

    def settle(self, stall_timeout: float, *, piece: float | None = None) -> None:
        """See ``Connection``."""
        self._out.stall_timeout = stall_timeout
        self._in.piece_timeout = stall_timeout if piece is None else piece

    def set_buffers(self, *, send: int | None = None, receive: int | None = None) -> None:
        """See ``Connection``; its connections have equal shares, of at least
        ``budget.SMALLEST``."""
        count = len(self.connections)
        for one in self.connections:
            one.set_buffers(send=_share(send, count), receive=_share(receive, count))

    def round_trip(self) -> float:
        """See ``Connection``."""
        return min(one.round_trip() for one in self.connections)

    def segment(self) -> int:
        """See ``Connection``."""
        return max(one.segment() for one in self.connections)

    # --- its end

    def hung_up(self) -> bool:
        """See ``Connection``."""
        return self._broken is not None or any(one.hung_up() for one in self.connections)

    def finish(self) -> None:
        """See ``Connection``; returns once everything was sent, or the tunnel broke, or nothing
        goes out for the stall limit."""
        self._out.finish()

    def cut(self) -> None:
        """See ``Connection``."""
        with self._lock:
            self._broken = self._broken or kernel_error(errno.ECONNRESET)
        for one in self.connections:
            one.cut()
        self._end_threads(kernel_error(errno.ECONNRESET))

    def reset(self) -> None:
        """See ``Connection``."""
        self._break(kernel_error(errno.ECONNRESET))

    def close(self) -> None:
        """See ``Connection``; its threads end before."""
        if hasattr(self, "_in"):
            self.cut()
            with self._lock:
                self._over.wait_for(lambda: not self._running, _END)
        for one in self.connections:
            one.close()


def _share(size: int | None, count: int) -> int | None:
    return None if size is None else max(size // count, budget.SMALLEST)
