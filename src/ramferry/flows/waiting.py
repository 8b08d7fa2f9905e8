"""multifd channels that came before their main channel's first bytes.

A source's main is silent for a while, and from QEMU 10 on until every one of its channels is
connected: theirs are the first bytes that arrive then. Channels of a migration that has failed
arrive here as well, when they were late; ``calls`` has how they are told apart.
"""

from __future__ import annotations

import math
import socket
import time
from collections import deque
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import Final

from ramferry.flows.calls import QUIET, Call, may_follow, mother, one_too_many
from ramferry.flows.lobby import SILENCE, Departure, MultifdArrival
from ramferry.flows.loop import HUNG_UP, Loop, hung_up
from ramferry.patience import Patience
from ramferry.transport import sockets
from ramferry.wire.packets import MAX_CHANNELS

FULL: Final = 5.0
"""Seconds that a channel may wait with pages unread, behind which its end could not be seen: its
main's first bytes are less than a lost segment behind them."""
MOST_IN_ALL: Final = 2 * MAX_CHANNELS
_REMEMBERED: Final = 256
_OVERTAKING: Final = 0.02
"""Seconds that a channel's pages may be on the way before main's first bytes, which were sent
before them; the kernel counts in steps of up to 10 ms."""


class WaitingChannels:
    """Keeps them until their main comes or they leave; all in the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        note: Callable[[str], None],
        departed: Callable[[Departure], None] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """:param departed: told of a channel that hung up; ``remember``, where left out."""
        self._loop = loop
        self._note = note
        self._departed = departed or self.remember
        self._running = Patience(math.inf, clock=clock)
        self._arrivals: dict[MultifdArrival, float] = {}
        """Since when they wait, oldest first."""
        self._full_since: dict[MultifdArrival, float] = {}
        self.main = Call(0, "")
        """Who made the main connection of the migration under way, or of the last one."""
        self._heard = 0.0
        self._gone: deque[Departure] = deque(maxlen=_REMEMBERED)
        self._ended_at = 0

    @property
    def ids(self) -> list[int]:
        """Channel ids of those that wait."""
        return [arrival.initial.channel_id for arrival in self._arrivals]

    def add(self, arrival: MultifdArrival) -> None:
        """Let a channel wait; where as many as a migration can have wait already, the oldest goes.

        A source that gives up before its main spoke takes its channels with it.
        """
        leaves = one_too_many(
            self._arrivals, lambda one: one.call, MAX_CHANNELS, MOST_IN_ALL, arrival.call
        )
        if leaves is not None:
            self._turn_out(leaves, "was one of too many without a main channel")
        self._arrivals[arrival] = self._running.spent
        self._loop.add(arrival.sock.fileno(), HUNG_UP, partial(self._hung_up, arrival))

    def begin(self, main: Call, heard: float) -> None:
        """A main has come, whose channels are wanted from now on.

        :param heard: when its last bytes came, as ``sockets.heard_at`` has it.
        """
        self.main = main
        self._heard = heard

    def take(self, silent: Sequence[Call]) -> list[MultifdArrival]:
        """Hand over those that were accepted after main.

        One that its peer has closed this moment goes with them: it ends the migration. Called when
        main has spoken, and again for each channel that comes while it gathers.

        :param silent: connections that may still become a main.
        """
        followers = [one for one in self._arrivals if may_follow(one.call, self.main, silent)]
        for arrival in followers:
            self._forget(arrival)
        return followers

    def take_early(self, silent: Sequence[Call], ids: Container[int]) -> list[MultifdArrival]:
        """Hand over those that were accepted before main and are its own all the same.

        Called when main stands before its first mark and has all the others; what comes from where
        main came, and is not its own, is turned out.

        :param ids: of the channels that it has.
        """
        taken: dict[int, MultifdArrival] = {}
        for arrival in self._suspects(silent):
            channel = arrival.initial.channel_id
            if hung_up(arrival.sock.fileno()):
                self._hung_up(arrival)
            elif self._outlived(arrival) or channel in ids or channel in taken:
                self._turn_out(arrival, "is left over from an earlier migration")
            else:
                self._forget(arrival)
                taken[channel] = arrival
        return list(taken.values())

    def remember(self, departure: Departure) -> None:
        """Keep in mind that one left before its main spoke."""
        self._gone.append(departure)

    def gone(self) -> list[Departure]:
        """Who left since main was accepted, and was made by the same."""
        return [
            one
            for one in self._gone
            if one.call.number > self.main.number and one.call.origin == self.main.origin
        ]

    def ended(self, accepted: int) -> None:
        """A migration has ended, and so many connections were accepted until now."""
        self._ended_at = accepted
        self._gone.clear()

    def expire(self) -> None:
        """Turn out those whose main did not come; called at least once a second."""
        now = self._running.spent
        for arrival, since in list(self._arrivals.items()):
            if now - since > SILENCE:
                self._turn_out(arrival, f"was without its main channel for {SILENCE:.0f} s")
            elif not _may_be_closed(arrival.sock):
                self._full_since.pop(arrival, None)
            elif now - self._full_since.setdefault(arrival, now) > FULL:
                self._turn_out(arrival, "sent pages without its main channel")

    def close(self) -> None:
        """Turn out all of them."""
        for arrival in list(self._arrivals):
            self._forget(arrival)
            arrival.sock.close()

    def _suspects(self, silent: Sequence[Call]) -> list[MultifdArrival]:
        """Those that were accepted before main from where it came, and have no other main."""
        return [
            one
            for one in self._arrivals
            if one.call.number < self.main.number
            and one.call.origin == self.main.origin
            and mother(one.call, silent) is None
        ]

    def _outlived(self, arrival: MultifdArrival) -> bool:
        """Whether its migration is over, or could be: pages came before main, and none since."""
        if arrival.call.number < self._ended_at:
            return True
        before = sockets.heard_at(arrival.sock) < self._heard - _OVERTAKING
        return before and _may_be_closed(arrival.sock)

    def _hung_up(self, arrival: MultifdArrival) -> None:
        self._forget(arrival)
        arrival.sock.close()
        self._departed(Departure(arrival.call, arrival.name))

    def _turn_out(self, arrival: MultifdArrival, why: str) -> None:
        self._note(f"refused {arrival.name}, which {why}")
        self._forget(arrival)
        arrival.sock.close()

    def _forget(self, arrival: MultifdArrival) -> None:
        self._loop.remove(arrival.sock.fileno())
        del self._arrivals[arrival]
        self._full_since.pop(arrival, None)


def _may_be_closed(sock: socket.socket) -> bool:
    """Whether a FIN could lie behind what is unread; a UNIX socket tells its peer's end at once."""
    return sock.family != socket.AF_UNIX and sockets.unread(sock) > QUIET
