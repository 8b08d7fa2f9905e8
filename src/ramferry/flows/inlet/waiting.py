"""multifd channels that came before their main channel's first bytes.

A source's main is silent for a while, and from QEMU 10 on until every one of its channels is
connected: theirs are the first bytes that arrive then. Channels of a migration that has failed
arrive here as well, when they were late; ``calls`` has how they are told apart.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Container
from functools import partial
from typing import Final

from ramferry.flows.inlet.calls import QUIET, Call, may_follow, mother, one_too_many
from ramferry.flows.inlet.lobby import SILENCE, Departure, MultifdArrival
from ramferry.flows.session.loop import HUNG_UP, Loop
from ramferry.patience import Patience
from ramferry.transport.connection import Connection
from ramferry.vocabulary import MAX_CHANNELS

MOTHERLESS: Final = 2.0
"""Seconds that a channel may wait while there is no connection that could become its main: of one
that comes behind its channels after all, the handshake is repeated after 1 s. And seconds after a
failed migration in which its late channels are turned out at once: their source does not notice
that main was reset while it waits for them to take its pages (QEMU 10.0)."""
MOST_IN_ALL: Final = 2 * MAX_CHANNELS
_REMEMBERED: Final = 256
_LEFT_OVER: Final = "is left over from an earlier migration"
_OVERTAKING: Final = 0.02
"""Seconds that a channel's pages may be on the way before main's first bytes, which were sent
before them; the kernel counts in steps of up to 10 ms."""


class WaitingChannels:
    """Keeps them until their main comes or they leave; all in the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        note: Callable[[str], None],
        departed: Callable[[Departure], None],
        silent: Callable[[], list[Call]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param departed: told of a channel that hung up.
        :param silent: connections that may still become a main.
        """
        self._loop = loop
        self._note = note
        self._departed = departed
        self._silent = silent
        self._running = Patience(math.inf, clock=clock)
        self._arrivals: dict[MultifdArrival, float] = {}
        """Since when they wait, oldest first."""
        self._motherless: dict[MultifdArrival, float] = {}
        """Since when there is no connection that could become their main."""
        self.main = Call(0, "")
        """Who made the main connection of the migration under way, or of the last one."""
        self._heard = 0.0
        self._under_way = False
        self._gone: deque[Departure] = deque(maxlen=_REMEMBERED)
        self._ended_at = 0
        """Connections that were accepted before the last migration ended."""
        self._failed = -math.inf
        """When that was, if it failed."""

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
        if self._is_late(arrival.call):
            self._turn_out(arrival, _LEFT_OVER)
            return
        self._loop.add(arrival.connection.fileno(), HUNG_UP, partial(self._hung_up, arrival))

    def begin(self, main: Call, heard: float) -> None:
        """A main has come, whose channels are wanted from now on.

        :param heard: when its last bytes came, as ``Connection.heard_at`` has it.
        """
        self.main = main
        self._heard = heard
        self._under_way = True
        self._failed = -math.inf

    def take(self) -> list[MultifdArrival]:
        """Hand over those that were accepted after main.

        One that its peer has closed this moment goes with them: it ends the migration. Called when
        main has spoken, and again for each channel that comes while it gathers.
        """
        silent = self._silent()
        followers = [one for one in self._arrivals if may_follow(one.call, self.main, silent)]
        for arrival in followers:
            self._forget(arrival)
        return followers

    def take_early(self, ids: Container[int]) -> list[MultifdArrival]:
        """Hand over those that were accepted before main and are its own all the same.

        Called when main stands before its first mark and has all the others; what comes from where
        main came, and is not its own, is turned out.

        :param ids: of the channels that it has.
        """
        taken: dict[int, MultifdArrival] = {}
        for arrival in self._suspects():
            channel = arrival.initial.channel_id
            if arrival.connection.hung_up():
                self._hung_up(arrival)
            elif self._outlived(arrival) or channel in ids or channel in taken:
                self._turn_out(arrival, _LEFT_OVER)
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

    def ended(self, accepted: int, *, failed: bool) -> None:
        """A migration has ended, and so many connections were accepted until now."""
        self._ended_at = accepted
        self._under_way = False
        self._failed = self._running.spent if failed else -math.inf
        self._gone.clear()
        self.expire()

    def expire(self) -> None:
        """Turn out those whose main did not come; called at least once a second."""
        now = self._running.spent
        if self._under_way or self._silent():
            self._motherless.clear()
        for arrival, since in list(self._arrivals.items()):
            alone = now - self._motherless.setdefault(arrival, now)
            if self._is_late(arrival.call):
                self._turn_out(arrival, _LEFT_OVER)
            elif now - since > SILENCE or alone > MOTHERLESS:
                self._turn_out(arrival, f"was without its main channel for {now - since:.0f} s")

    def close(self) -> None:
        """Turn out all of them."""
        for arrival in list(self._arrivals):
            self._forget(arrival)
            arrival.connection.close()

    def _is_late(self, call: Call) -> bool:
        """Whether it is of the migration that has ended, and comes from where that came."""
        silent = self._silent()
        if call.number < self._ended_at:
            return not any(one.number < call.number for one in silent)
        just_failed = self._running.spent - self._failed < MOTHERLESS
        return just_failed and call.origin == self.main.origin and not silent

    def _suspects(self) -> list[MultifdArrival]:
        """Those that were accepted before main from where it came, and have no other main."""
        silent = self._silent()
        return [
            one
            for one in self._arrivals
            if one.call.number < self.main.number
            and one.call.origin == self.main.origin
            and mother(one.call, silent) is None
        ]

    def _outlived(self, arrival: MultifdArrival) -> bool:
        """Whether its migration could be over: pages came before main, and none since."""
        before = arrival.connection.heard_at() < self._heard - _OVERTAKING
        return before and _may_be_closed(arrival.connection)

    def _hung_up(self, arrival: MultifdArrival) -> None:
        self._forget(arrival)
        arrival.connection.close()
        self._departed(Departure(arrival.call, arrival.name))

    def _turn_out(self, arrival: MultifdArrival, why: str) -> None:
        self._note(f"refused {arrival.name}, which {why}")
        self._forget(arrival)
        arrival.connection.close()

    def _forget(self, arrival: MultifdArrival) -> None:
        self._loop.remove(arrival.connection.fileno())
        del self._arrivals[arrival]
        self._motherless.pop(arrival, None)


def _may_be_closed(connection: Connection) -> bool:
    """Whether a FIN could lie behind what is unread; a UNIX socket tells its peer's end at once."""
    return connection.windowed and connection.unread() > QUIET
