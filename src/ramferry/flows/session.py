"""One migration through a relay: what its threads share, and how it ends.

The phases say what may still be undone. Until ram's END has been sent on, any fault ends every
connection, and QEMU fails the migration and keeps its guest. After that only the destination knows
whether its guest has started: the relay delivers what it has, carries the destination's answer back
and changes nothing.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ramferry.codec.base import Decoder, Encoder
from ramferry.errors import MigrationFailed, PeerTimeout, RamferryError, RemoteProtocolError
from ramferry.flows.engines import Engines
from ramferry.flows.gate import SyncGate, Unwind
from ramferry.flows.loop import hung_up
from ramferry.flows.outbox import Outbox
from ramferry.flows.tally import Tally
from ramferry.qatzip.accelerator import AUTO
from ramferry.transport import sockets
from ramferry.transport.address import Address
from ramferry.transport.pacing import Pacer

_DRAIN_POLL: Final = (0.0001, 0.001)
"""First and longest pause between two looks at an unsent queue, in seconds: no event tells when
it is empty."""


class Phase(IntEnum):
    """How far a migration is."""

    GATHERING = 0
    """Not every channel is here; the destination may not be connected yet."""
    CARRYING = 1
    """Rounds of guest memory."""
    SWITCHOVER = 2
    """Ram's END went on: the destination may start its guest at any moment."""
    CONFIRMED = 3
    """The destination's SHUT was delivered to the source."""
    FAILED = 4


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """What the relay was asked to do."""

    listen: Address
    connect: Address
    method: str
    """multifd-compression on the outgoing side."""
    level: int | None = None
    channels: int | None = None
    """multifd-channels; None: as many as are connected when the first sync mark comes."""
    max_bandwidth: float = 0.0
    """Bytes per second on the outgoing side; 0: no cap."""
    page_size: int = 4096
    stall_timeout: float = 60.0
    """Seconds after which a peer that stopped in the middle of something is given up."""
    accelerator: str = AUTO
    """One of ``ramferry.qatzip.ACCELERATORS``, for both directions."""


class Session:
    """Shared state of one migration's threads."""

    def __init__(
        self,
        settings: RelaySettings,
        note: Callable[[str], None],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """:param wake: called, from any thread, when the migration has failed."""
        self.settings = settings
        self.note = note
        self._wake = wake
        self.gate = SyncGate()
        self.tally = Tally(settings.page_size)
        self.pacer = Pacer(settings.max_bandwidth)
        self.outbox = Outbox()
        self.blocks: dict[str, int] = {}
        """RAM blocks' used lengths, filled when the main channel brings the list."""
        self.onward = threading.Event()
        """Set once main is connected onwards: the multifd channels may follow."""
        self.gathered = threading.Event()
        """Set once every channel that the source opened is here."""
        self.want_gathered = threading.Event()
        """Set by main when it stands before the first sync mark."""
        self.over = threading.Event()
        """Set when the migration has failed or every thread has ended."""
        self.error: RamferryError | None = None
        self.method_in = ""
        self.engines = Engines(note)
        self.sources: list[socket.socket] = []
        """Connections towards the source, main first."""
        self.destinations: list[socket.socket] = []
        """Connections towards the destination; main is ``destination_main``."""
        self.destination_main: socket.socket | None = None
        self.blind_since: float | None = None
        """When main lost sight of its marks; None while it sees them."""
        self._phase = Phase.GATHERING
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    @property
    def phase(self) -> Phase:
        """How far the migration is."""
        return self._phase

    @property
    def backend(self) -> str:
        """What inflates and compresses, as in ``RelayResult.backend``."""
        return self.engines.backend

    def advance(self, phase: Phase) -> bool:
        """Enter a later phase; an earlier one is ignored. False where the migration has failed."""
        with self._lock:
            self._phase = max(self._phase, phase)
            return self._phase is not Phase.FAILED

    def fail(self, error: RamferryError, *, final: bool = False) -> None:
        """End the migration with ``error``, unless it is too late or something came first.

        :param final: the caller knows that the destination did not take over, so that the
            switchover, too, has failed.
        """
        with self._lock:
            if self._phase >= Phase.CONFIRMED:
                return
            if self._phase is Phase.SWITCHOVER and not final:
                self.note(f"in the switchover, left to the destination to judge: {error}")
                return
            self._phase = Phase.FAILED
            self.error = error
        self.gate.end()
        self.pacer.end()
        self.outbox.end()
        self.onward.set()
        self.gathered.set()
        self.over.set()
        self._wake()

    def check(self) -> None:
        """Leave the calling thread where the migration has failed."""
        if self._phase is Phase.FAILED:
            raise Unwind

    def adopt(self, destination: socket.socket, *, main: bool = False) -> None:
        """Take in a connection towards the destination, to be ended with the others.

        :raise Unwind: the migration failed while it was being made; it is closed.
        """
        with self._lock:
            late = self._phase is Phase.FAILED
            if main and not late:
                self.destination_main = destination
            elif not late:
                self.destinations.append(destination)
        if late:
            destination.close()
            raise Unwind

    def gather(self) -> None:
        """Before the first mark: wait until every channel is here; called by main."""
        self.want_gathered.set()
        self.gathered.wait()
        self.check()
        self.advance(Phase.CARRYING)

    @property
    def sighted(self) -> bool:
        """True while main's marks and ram's END are seen."""
        return self.blind_since is None and self.gate.gated

    def lost_sight(self, idstr: str, why: str) -> None:
        """Main has come to bytes that cannot be parsed: marks may pass unseen."""
        if self._phase < Phase.SWITCHOVER:
            self.note(f"main: device {idstr!r} is copied, not parsed ({why})")
            self.blind_since = time.monotonic()

    def regained_sight(self) -> None:
        """Main is parsed again."""
        self.blind_since = None

    def note_codecs(self, method: str, decoder: Decoder, encoder: Encoder | None) -> None:
        """A channel saw the source's method and chose its codecs.

        :raise RemoteProtocolError: another channel saw another method.
        """
        with self._lock:
            if self.method_in not in ("", method):
                raise RemoteProtocolError(f"method {self.method_in} on every channel", method)
            self.method_in = method
        self.engines.add(decoder, encoder)

    def start(
        self, name: str, run: Callable[[], None], farewell: Callable[[], None] = lambda: None
    ) -> None:
        """Run ``run`` in a thread of this migration; its errors end the migration.

        :param farewell: called when ``run`` has ended, however, and the migration has not failed.
        """

        def body() -> None:
            try:
                run()
            except Unwind:
                pass
            except RamferryError as error:
                self.fail(error)
            except Exception as error:
                self.fail(RamferryError(f"internal error in {name}: {error!r}"))
            if self._phase is not Phase.FAILED:
                farewell()

        thread = threading.Thread(target=body, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def running(self) -> bool:
        """True while any thread of the migration lives."""
        return any(thread.is_alive() for thread in self._threads)

    def send_onward(self, sock: socket.socket, parts: list[sockets.Buffer], size: int) -> None:
        """Send a packet to the destination when its slot on the wire comes."""
        if self.settings.max_bandwidth:
            self.pacer.wait(size)
            self.check()
        sockets.send_all(sock, parts)

    def until_consumed(self) -> None:
        """Wait until the far side has taken all that was sent on every multifd channel.

        Called while all of them are held, so that nothing is added meanwhile.

        :raise MigrationFailed: a channel closed, so that nothing proves anything.
        :raise PeerTimeout: the far side takes nothing for the stall limit.
        """
        for sock in self.destinations:
            try:
                self._until_consumed(sock)
            except OSError:
                self.check()
                raise MigrationFailed("a multifd channel broke at the destination") from None

    def untaken(self) -> int:
        """Bytes that the far side leaves on the fullest multifd channel."""
        return max(map(sockets.unsent, self.destinations), default=0)

    def _until_consumed(self, sock: socket.socket) -> None:
        pause, left, since = _DRAIN_POLL[0], -1, time.monotonic()
        while (left_now := sockets.unsent(sock)) > 0:
            self.check()
            if left_now != left:
                left, since = left_now, time.monotonic()
            elif time.monotonic() - since > self.settings.stall_timeout:
                raise PeerTimeout(f"the destination leaves {left} bytes of a channel untaken")
            time.sleep(pause)
            pause = min(pause * 2, _DRAIN_POLL[1])
        if hung_up(sock.fileno()):
            raise ConnectionResetError

    def part(self) -> None:
        """End what both sides have left open after a good migration; all bytes are delivered."""
        mains = [self.destination_main] if self.destination_main else []
        for sock in [*mains, *self.destinations, *self.sources]:
            sockets.cut(sock)

    def tear_down(self) -> None:
        """End every connection in the order that leaves both QEMUs answering.

        The destination's main goes first: it waits for no SYNC, because a mark is passed on only
        after all of them, so it sees the end and fails. Towards the source every connection is
        reset. Threads that wait on any of them wake up.
        """
        if self.destination_main is not None:
            sockets.cut(self.destination_main)
        for sock in list(self.destinations):
            sockets.cut(sock)
        for sock in list(self.sources):
            sockets.reset(sock)

    def close(self, patience: float = 5.0) -> None:
        """Wait for the threads and free the sockets."""
        deadline = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        mains = [self.destination_main] if self.destination_main else []
        for sock in [*mains, *self.destinations, *self.sources]:
            sock.close()
