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
from typing import Final

from ramferry.errors import MigrationFailed, PeerTimeout
from ramferry.flows.gate import Unwind
from ramferry.flows.loop import hung_up
from ramferry.flows.migration import Migration, Phase
from ramferry.flows.outbox import Outbox
from ramferry.flows.throttle import BufferGovernor
from ramferry.patience import Patience
from ramferry.qatzip.accelerator import AUTO
from ramferry.transport import budget, sockets
from ramferry.transport.address import Address
from ramferry.transport.pacing import Pacer

_DRAIN_POLL: Final = (0.0001, 0.001)
"""First and longest pause between two looks at an unsent queue, in seconds: no event tells when
it is empty."""
_ACKNOWLEDGE: Final = 0.25
"""Seconds within which a TCP peer acknowledges what it has: 0.2 at most where it delays it."""


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
    uuid: bytes | None = None
    """What the destination expects in the channels' initial packets; None: what the source sends.
    """


class Session(Migration):
    """Shared state of one relayed migration's threads."""

    settings: RelaySettings

    def __init__(
        self,
        settings: RelaySettings,
        note: Callable[[str], None],
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """:param wake: called, from any thread, when the migration has failed."""
        super().__init__(settings, note, wake)
        self.pacer = Pacer(settings.max_bandwidth)
        self.outbox = Outbox()
        self.onward = threading.Event()
        """Set once main is connected onwards: the multifd channels may follow."""
        self.destinations: list[socket.socket] = []
        """Connections towards the destination; main is ``destination_main``."""
        self.destination_main: socket.socket | None = None
        self.refuse_the_rest: Callable[[], None] = lambda: None
        """Main's: to be called where the source has ended main in the switchover."""
        self._switched = False
        """Ram's END went on at some time."""

    def advance(self, phase: Phase) -> bool:
        """See ``Migration``."""
        self._switched = self._switched or phase is Phase.SWITCHOVER
        return super().advance(phase)

    @property
    def introduced(self) -> bool:
        """True once main is connected onwards, which its preamble decides."""
        return self.onward.is_set()

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

    def governor(self) -> BufferGovernor:
        """What sizes buffers, the outbox included, by the rate at which the destination drains."""
        cap = self.settings.max_bandwidth
        if cap:
            self.outbox.limit(budget.outbox(cap))
        return BufferGovernor(
            lambda: self.tally.bytes_out,
            sending=lambda: self.destinations,
            receiving=lambda: self.sources[1:],
            told=lambda rate: self.outbox.limit(budget.outbox(rate)),
        )

    def _unblock(self) -> None:
        self.pacer.end()
        self.outbox.end()
        self.onward.set()

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

    def look_back(self) -> None:
        """Notice a source that has ended main in the switchover, before the answer."""
        if self._phase is Phase.SWITCHOVER and hung_up(self.sources[0].fileno()):
            self.refuse_the_rest()

    def tell_if_unheard(self) -> None:
        """A source that has heard of the destination's answer closes main at once."""
        if not hung_up(self.sources[0].fileno()):
            self.note(
                "the guest runs at the destination, and the source does not close the migration as "
                "one that has heard of it: see with `info status` that its guest does not run"
            )

    def taken_on_main(self) -> bool:
        """True where nothing that was sent on main can be kept from the destination any more.

        A TCP peer that has it all may take a moment to say so.
        """
        main = self.destination_main
        if main is None or main.family == socket.AF_UNIX:
            return True
        patience = Patience(_ACKNOWLEDGE)
        while sockets.unsent(main):
            if patience.over:
                return False
            time.sleep(_DRAIN_POLL[1])
        return True

    def fail_in_switchover(self, error: MigrationFailed) -> None:
        """The source has given the migration up: so does the relay, where nobody took over yet."""
        if self._phase is Phase.SWITCHOVER:
            self.fail(error, final=True)
            if self.destination_main is not None:
                sockets.reset(self.destination_main)

    def untaken(self) -> int:
        """Bytes that the far side leaves on the fullest multifd channel."""
        return max(map(sockets.unsent, self.destinations), default=0)

    def _until_consumed(self, sock: socket.socket) -> None:
        pause, left = _DRAIN_POLL[0], -1
        silence = Patience(self.settings.stall_timeout, clock=time.monotonic)
        while (left_now := sockets.unsent(sock)) > 0:
            self.check()
            if left_now != left:
                left = left_now
                silence.restart()
            elif silence.over:
                raise PeerTimeout(f"the destination leaves {left} bytes of a channel untaken")
            time.sleep(pause)
            pause = min(pause * 2, _DRAIN_POLL[1])
        if hung_up(sock.fileno()):
            raise ConnectionResetError

    def give_up_gating(self) -> None:
        """Go on without holding marks, where pages can still be checked."""
        if not self.blocks:
            self.fail(
                MigrationFailed(
                    "main: a device that cannot be parsed hides the list of RAM blocks, without "
                    "which no page can be checked: remove the device and migrate again"
                )
            )
            return
        self.note("main: its sync marks cannot be seen, so they are not held (not gated)")
        self.gate.open()

    def connections(self) -> list[socket.socket]:
        """The destination's, main first, then the source's."""
        mains = [self.destination_main] if self.destination_main else []
        return [*mains, *self.destinations, *self.sources]

    def tear_down(self) -> None:
        """End every connection in the order that leaves both QEMUs answering.

        The destination's main goes first: it waits for no SYNC, because a mark is passed on only
        after all of them, so it sees the end and fails. Towards the source every connection is
        reset. Threads that wait on any of them wake up.
        """
        if self.destination_main is not None:
            # behind ram's END, what it has not taken yet would start the guest if it were delivered
            end = sockets.reset if self._switched else sockets.cut
            end(self.destination_main)
        for sock in list(self.destinations):
            sockets.cut(sock)
        super().tear_down()
