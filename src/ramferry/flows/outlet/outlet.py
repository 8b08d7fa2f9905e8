"""The connections to one destination, with the pacing and the limits of the bytes on them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ramferry.errors import MigrationFailed
from ramferry.flows.outlet.chosen import chooses, make_chooser
from ramferry.flows.outlet.forwarding import sending_on_main
from ramferry.flows.outlet.outbox import Outbox
from ramferry.flows.outlet.outlet_settings import OutletSettings
from ramferry.flows.outlet.refused import lost
from ramferry.flows.outlet.tunnelling import open_tunnel
from ramferry.flows.outlet.whereabouts import Whereabouts
from ramferry.flows.peer.asking import CONNECT
from ramferry.flows.peer.far import Far
from ramferry.flows.peer.stream import Tunnel
from ramferry.flows.session.gate import Unwind
from ramferry.flows.session.session import Session
from ramferry.flows.session.throttle import BufferGovernor
from ramferry.metrics.notes import warning
from ramferry.transport import budget
from ramferry.transport.address import RelayAddress
from ramferry.transport.connection import Connection
from ramferry.transport.dialing import connect
from ramferry.transport.pacing import Pacer
from ramferry.transport.security import IN_THIS_HOST
from ramferry.transport.sharing import Lane
from ramferry.vocabulary import AUTO

if TYPE_CHECKING:
    from ramferry.flows.choosing.chooser import Chooser


class Outlet:
    """Connects to a destination, keeps its connections, and ends them."""

    def __init__(
        self, session: Session, settings: OutletSettings, lane: Lane | None = None
    ) -> None:
        """:param lane: this migration's part of a cap that several share; None: the cap is its own,
        and can be changed."""
        self.session = session
        self.settings = settings
        self.whereabouts = Whereabouts(session, settings.connect)
        self._pacer = Pacer(settings.max_bandwidth)
        self.pacer: Pacer | Lane = lane or self._pacer
        self.paced = bool(settings.max_bandwidth)
        """Whether packets wait for a slot on the wire."""
        self.outbox = Outbox()
        self.main: Connection | None = None
        self.far: Far | None = None
        """The far end, where it is a Ramferry; set before main is connected."""
        self.chooser: Chooser | None = None
        """Chooses each packet's method, or level; None if one was asked for, or it is not known
        yet what the far end is."""
        self._greeted: Connection | None = None
        """To a far Ramferry that has not said hello yet."""
        self.channels: list[Connection] = []
        """The multifd channels, in the order in which they were connected."""
        self.carriers: Sequence[Connection] = ()
        """The connections that carry a plain stream."""
        self._dialled = 0
        """Connections that are being made."""
        self._onward = threading.Event()
        self._lock = threading.Lock()

    def lost(self, name: str, how: str) -> MigrationFailed:
        """See ``refused.lost``."""
        return lost(self.session, self.settings.method, name, how, far=self.far is not None)

    def takes_streams(self) -> bool:
        """Whether the far end is a Ramferry that takes plain streams; says hello to find out.

        :raise PeerUnreachable: nobody accepts there, or TLS failed.
        :raise Unwind: the migration failed meanwhile.
        """
        address = self.settings.connect
        if not isinstance(address, RelayAddress):
            return False
        with self._dialling():
            self.far = self._greet(address)
        return self.far.agreed.streams

    def connect(self, *, main: bool = False, stream: bool = False) -> Connection:
        """Open one more connection, which this object will close.

        :param stream: whether a plain stream goes over main.
        :raise PeerUnreachable: nobody accepts, or TLS failed.
        :raise Unwind: the migration failed meanwhile.
        """
        if main:
            self.whereabouts.find()
        address = self.whereabouts.address
        with self._dialling():
            if main and self.far is None and isinstance(address, RelayAddress):
                self.far = self._greet(address)
            if main and self.far is None and self.settings.auto_level:
                self.chooser = make_chooser(self, None)
            if stream and self.far is not None:
                return self._tunnel(self.far)
            connection = self._connected()
        connection.settle(self.settings.stall_timeout)
        if main and self.far is not None:
            connection = self.far.main(connection)
        self.adopt(connection, main=main)
        if stream:
            self.carriers = (connection,)
        connection.set_buffers(send=budget.INITIAL)
        self.session.check()
        return connection

    def _tunnel(self, far: Far) -> Tunnel:
        """A tunnel in place of main, as ``connect`` has it."""
        settings = self.settings
        tunnel = open_tunnel(far, self._connected, settings.channels, settings.stall_timeout)
        self.adopt(tunnel, main=True)
        self.carriers = tunnel.connections
        self.session.plain.streams = len(tunnel.connections)
        tunnel.encode_with(settings.level, self.member_size, self.chooser)
        tunnel.start(self.session)
        self.session.check()
        return tunnel

    @property
    def member_size(self) -> str:
        """One of ``vocabulary.MEMBER_SIZES`` for what goes out."""
        asked = self.settings.member_size
        if self.far is None or asked != AUTO or self.settings.method != "qatzip":
            return asked
        return self.far.agreed.member_size

    def pass_mark(self, index: int, *, whole: bool = False) -> None:
        """Called before a mark is sent, when every channel's SYNC of it was: tell a far Ramferry
        what it must have received.

        :param whole: whether it ends a round of all memory, as a mark does in QEMU 8.1 and later.
        :raise RamferryError: it cannot be told.
        """
        if whole and self.chooser is not None:
            self.chooser.nearness.round_ended()
        if self.far is not None:
            with sending_on_main():
                self.far.send_mark(index, len(self.channels))

    def part(self) -> None:
        """Called when the migration has ended: take leave of a far Ramferry, whose word about the
        cause of a failure counts more than a broken connection."""
        if self.chooser is not None:
            self.chooser.close()
        if self.far is not None:
            self.session.error = self.far.cause(self.session.error)
            self.far.close()

    def _greet(self, address: RelayAddress) -> Far:
        """Say hello to the far end; it is not waited for if the migration fails."""
        session = self.session
        self._greeted = control = self._connected()
        try:
            session.check()  # it may have failed before ``unblock`` could see the connection
            shown = (self.settings.security or IN_THIS_HOST).shown(address)
            method, loads = self.settings.method, chooses(self.settings)
            far = Far.greet(session, address, control, method, self._again, shown, loads=loads)
            if loads:
                self.chooser = make_chooser(self, far)
            return far
        except Unwind:
            control.close()
            raise
        finally:
            self._greeted = None

    @contextmanager
    def _dialling(self) -> Iterator[None]:
        with self._lock:
            self._dialled += 1
        try:
            yield
        finally:
            with self._lock:
                self._dialled -= 1

    def _connected(self) -> Connection:
        address, security = self.whereabouts.address, self.settings.security
        return connect(address, security, check=self.session.check)

    def _again(self) -> Connection:
        """One more control connection in the switchover, where the migration may have failed."""
        return connect(self.whereabouts.address, self.settings.security, timeout=CONNECT)

    def adopt(self, connection: Connection, *, main: bool = False) -> None:
        """Take over a connection, which this object will close.

        :raise Unwind: the migration failed meanwhile; the connection was closed.
        """
        with self._lock:
            late = self.session.failed
            if main and not late:
                self.main = connection
            elif not late:
                self.channels.append(connection)
        if late:
            connection.close()
            raise Unwind

    def open_onward(self) -> None:
        """Called once main is connected: the multifd channels may follow."""
        self._onward.set()
        if self.far is None or not self.far.agreed.order:  # which says when the destination has it
            self.session.plain.reached()

    def may_follow(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until main is connected; True if it is."""
        return self._onward.wait(timeout)

    def governor(self) -> BufferGovernor:
        """Make what sizes the buffers, and the outbox, by the rate at which the destination drains
        them."""
        session, cap = self.session, self.settings.max_bandwidth
        if cap:
            self.outbox.limit(budget.outbox(cap))
        return BufferGovernor(
            lambda: session.tally.bytes_out,
            sending=lambda: self.carriers or self.channels,
            receiving=lambda: session.plain.incoming or session.sources[1:],
            told=self._drains,
            carries=lambda: session.tally.carries,
        )

    def _drains(self, rate: float) -> None:
        """The destination drains so many bytes per second: about 100 ms of that may wait."""
        self.outbox.limit(budget.outbox(rate))
        if isinstance(self.main, Tunnel):
            self.main.limit(budget.outbox(rate))

    def set_bandwidth(self, rate: float) -> None:
        """Change the cap, in wire bytes per second; 0: no cap."""
        self.paced = bool(rate)
        self._pacer.rate = rate

    # --- as what lies behind an inlet

    @property
    def introduced(self) -> bool:
        """See ``Behind``; True once main is connected to the destination."""
        return self._onward.is_set()

    @property
    def waits(self) -> str:
        """See ``Behind``."""
        return f"{self.whereabouts.address} does not answer" if self._dialled else ""

    def untaken(self) -> int:
        """See ``Behind``."""
        return max((one.unsent() for one in self.channels), default=0)

    def blinded(self) -> None:
        """See ``Behind``; goes on without holding marks if the list of RAM blocks is known, so that
        pages can be checked; else fails."""
        session = self.session
        if not session.blocks:
            session.fail(
                MigrationFailed(
                    "main: a device that cannot be parsed hides the list of RAM blocks, without "
                    "which no page can be checked: remove the device and migrate again"
                )
            )
            return
        session.note(
            warning("main: its sync marks cannot be seen, so they are not held (not gated)")
        )
        session.gate.open()

    def unblock(self) -> None:
        """See ``Behind``."""
        if (greeted := self._greeted) is not None:
            greeted.cut()
        self.pacer.end()
        self.outbox.end()
        self._onward.set()

    def tear_down(self) -> None:
        """See ``Behind``; cuts main first, so that the destination sees the end and fails."""
        with self._lock:
            # a connection that ``adopt`` takes later finds that the migration has failed
            main, channels = self.main, tuple(self.channels)
        if main is not None:
            session = self.session
            # behind ram's END, what it has not taken yet would start the guest if it were delivered
            withdraw = session.plain.chosen or (session.switched and not session.taken)
            (main.reset if withdraw else main.cut)()
        for connection in channels:
            connection.cut()

    def connections(self) -> list[Connection]:
        """See ``Behind``."""
        return [*([self.main] if self.main else []), *self.channels]
