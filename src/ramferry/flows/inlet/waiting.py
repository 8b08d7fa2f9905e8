"""multifd channels that came before their main channel's first bytes.

A source's main is silent at first, from QEMU 10 on until all of its channels are connected, so the
channels' bytes may arrive before main's. Late channels of a migration that has failed arrive here
as well; ``calls`` says how they are told apart.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Container
from functools import partial
from typing import Final

from ramferry.flows.inlet.callers import Departure, MultifdArrival
from ramferry.flows.inlet.calls import (
    QUIET,
    Call,
    Claim,
    Failed,
    claimants,
    may_follow,
    mother,
    one_too_many,
)
from ramferry.flows.inlet.limits import SILENCE
from ramferry.flows.session.loop import HUNG_UP, Loop
from ramferry.metrics.notes import refusal
from ramferry.patience import Patience
from ramferry.transport.connection import Connection
from ramferry.vocabulary import MAX_CHANNELS

MOTHERLESS: Final = 2.0
"""Seconds that a channel may wait while there is no connection that could become its main; if
main's handshake was lost, it is repeated after 1 s. Also the seconds after a failed migration in
which its late channels are closed at once: their source does not notice that main was reset while
it waits for them to take its pages (QEMU 10.0)."""
MOST_IN_ALL: Final = 2 * MAX_CHANNELS
_REMEMBERED: Final = 256
_LEFT_OVER: Final = "is left over from an earlier migration"
_OVERTAKING: Final = 0.02
"""Seconds by which a channel's pages may seem to arrive before main's first bytes, which were sent
earlier; the kernel counts in steps of up to 10 ms."""


class WaitingChannels:
    """Keeps channels until their main comes or they are closed; all in the loop's thread."""

    def __init__(
        self,
        loop: Loop,
        note: Callable[[str], None],
        departed: Callable[[Departure], None],
        silent: Callable[[], list[Call]],
        *,
        several: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        :param departed: called for a channel that its peer closed.
        :param silent: connections that may still become a main.
        :param several: whether several migrations may be under way at a time.
        """
        self._several = several
        self._loop = loop
        self._note = note
        self._departed = departed
        self._silent = silent
        self._running = Patience(math.inf, clock=clock)
        self._arrivals: dict[MultifdArrival, float] = {}
        """Each channel, and since when it waits; oldest first."""
        self._motherless: dict[MultifdArrival, float] = {}
        """Channels without a connection that could become their main, and since when."""
        self._claims: list[Claim] = []
        """The mains of the migrations under way."""
        self._gone: deque[Departure] = deque(maxlen=_REMEMBERED)
        self._ended_at = 0
        """How many connections had been accepted when the last migration ended."""
        self._failed: deque[Failed] = deque(maxlen=_REMEMBERED)

    @property
    def ids(self) -> list[int]:
        """Ids of the channels that wait."""
        return [arrival.initial.channel_id for arrival in self._arrivals]

    def add(self, arrival: MultifdArrival) -> None:
        """Let a channel wait. If as many as a migration can have wait already, the oldest one is
        closed.

        If its source closes it meanwhile, ``departed`` is called.
        """
        leaves = one_too_many(
            self._arrivals, lambda one: one.call, MAX_CHANNELS, MOST_IN_ALL, arrival.call
        )
        if leaves is not None:
            self._turn_out(leaves, "was one of too many without a main channel")
        self._arrivals[arrival] = self._running.spent
        if self._is_late(arrival):
            self._turn_out(arrival, _LEFT_OVER)
            return
        self._loop.add(arrival.connection.fileno(), HUNG_UP, partial(self._hung_up, arrival))

    def begin(self, main: Call, heard: float) -> Claim:
        """A migration begins with this main; its channels are handed over from now on.

        :param heard: when its last bytes came, as ``Connection.heard_at`` has it.
        """
        claim = Claim(main, heard)
        self._claims.append(claim)
        if not self._several:
            self._failed.clear()
        return claim

    def take(self, claim: Claim) -> list[MultifdArrival]:
        """Hand over the channels that were accepted after main, and can be no other main's.

        A channel that its peer has just closed is handed over too, and ends the migration. Called
        when main's first bytes have come, and again for each channel that comes before the first
        mark.
        """
        silent, followers = self._silent(), []
        for arrival in list(self._arrivals):
            if self._follows(arrival, claim, silent):
                self._hand_over(arrival, claim)
                followers.append(arrival)
        return followers

    def take_early(self, claim: Claim, ids: Container[int]) -> list[MultifdArrival]:
        """Hand over the channels that were accepted before main but belong to it.

        Called when main waits before its first mark and all other channels have come. Channels from
        main's origin that do not belong to it are closed.

        :param ids: of the channels that the migration has already.
        """
        taken: dict[int, MultifdArrival] = {}
        for arrival in self._suspects(claim):
            channel = arrival.initial.channel_id
            if arrival.connection.hung_up():
                self._hung_up(arrival)
            elif self._outlived(arrival, claim) or channel in ids or channel in taken:
                self._turn_out(arrival, _LEFT_OVER)
            else:
                self._hand_over(arrival, claim)
                taken[channel] = arrival
        return list(taken.values())

    def undecided(self, claim: Claim) -> list[MultifdArrival]:
        """The channels that may belong to ``claim``'s main or to another one's."""
        if not self._several:
            return []
        pools = [(one, self.pool(one)) for one in self._arrivals]
        return [one for one, pool in pools if claim in pool and len(pool) > 1]

    def pool(self, arrival: MultifdArrival) -> list[Claim | Call]:
        """The mains to which a channel that waits may belong; see ``calls.claimants``."""
        return claimants(arrival.call, arrival.initial.uuid, self._claims, self._silent())

    def pool_of(self, call: Call) -> list[Claim | Call]:
        """The same for a connection of which nothing else is known."""
        return claimants(call, None, self._claims, self._silent())

    def refuse(self, arrival: MultifdArrival, why: str) -> None:
        """Close a channel.

        :param why: what follows "which" in a sentence.
        """
        self._turn_out(arrival, why)

    def remember(self, departure: Departure) -> None:
        """Remember a channel that its peer closed before main's first bytes."""
        self._gone.append(departure)

    def gone(self, claim: Claim) -> list[Departure]:
        """The remembered channels that were accepted after main, from the same origin, and were no
        other main's."""
        main = claim.call
        return [
            one
            for one in self._gone
            if one.call.number > main.number
            and one.call.origin == main.origin
            and (not self._several or self.pool_of(one.call) == [claim])
        ]

    def ended(self, claim: Claim, accepted: int, *, failed: bool) -> None:
        """A migration has ended; ``accepted`` connections have come until now."""
        self._ended_at = accepted
        self._claims.remove(claim)
        if failed:
            origin = claim.call.origin
            self._failed.append(Failed(origin, claim.uuid, accepted, self._running.spent))
        if not self._claims:
            self._gone.clear()
        self.expire()

    def expire(self) -> None:
        """Close channels whose main did not come; called at least once a second."""
        now = self._running.spent
        if self._claims or self._silent():
            self._motherless.clear()
        for arrival, since in list(self._arrivals.items()):
            alone = now - self._motherless.setdefault(arrival, now)
            if self._is_late(arrival):
                self._turn_out(arrival, _LEFT_OVER)
            elif now - since > SILENCE or alone > MOTHERLESS:
                self._turn_out(arrival, f"was without its main channel for {now - since:.0f} s")

    def close(self) -> None:
        """Close all channels that wait."""
        for arrival in list(self._arrivals):
            self._forget(arrival)
            arrival.connection.close()

    def _follows(self, arrival: MultifdArrival, claim: Claim, silent: list[Call]) -> bool:
        if self._several:
            return self.pool(arrival) == [claim]
        return may_follow(arrival.call, claim.call, silent)

    def _hand_over(self, arrival: MultifdArrival, claim: Claim) -> None:
        claim.uuid = claim.uuid or arrival.initial.uuid
        self._forget(arrival)

    def _is_late(self, arrival: MultifdArrival) -> bool:
        """Whether a channel belongs to a migration that has ended."""
        call = arrival.call
        if call.visit is not None:
            return call.visit.begun and all(
                one.call.visit is not call.visit for one in self._claims
            )
        mains = [*self._silent(), *(one.call for one in self._claims if not one.gathered)]
        if call.number < self._ended_at:
            return not any(one.number < call.number for one in mains)
        just = [one for one in self._failed if self._running.spent - one.at < MOTHERLESS]
        return any(one.may_own(call, arrival.initial.uuid, mains) for one in just)

    def _suspects(self, claim: Claim) -> list[MultifdArrival]:
        """Channels that were accepted before main, from its origin, and that no other connection
        can be the main of."""
        silent, main = self._silent(), claim.call
        return [
            one
            for one in self._arrivals
            if one.call.number < main.number
            and one.call.origin == main.origin
            and mother(one.call, silent) is None
            and one.initial.uuid == ((self._several and claim.uuid) or one.initial.uuid)
        ]

    def _outlived(self, arrival: MultifdArrival, claim: Claim) -> bool:
        """Whether a channel may be left over from an earlier migration: its pages came before main,
        and none since."""
        before = arrival.connection.heard_at() < claim.heard - _OVERTAKING
        return before and _may_be_closed(arrival.connection)

    def _hung_up(self, arrival: MultifdArrival) -> None:
        self._forget(arrival)
        arrival.connection.close()
        self._departed(Departure(arrival.call, arrival.name))

    def _turn_out(self, arrival: MultifdArrival, why: str) -> None:
        self._note(refusal(f"refused {arrival.name}, which {why}"))
        self._forget(arrival)
        arrival.connection.close()

    def _forget(self, arrival: MultifdArrival) -> None:
        self._loop.remove(arrival.connection.fileno())
        del self._arrivals[arrival]
        self._motherless.pop(arrival, None)


def _may_be_closed(connection: Connection) -> bool:
    """Whether a FIN could come after what is unread; with a UNIX socket the peer's end is seen at
    once."""
    return connection.windowed and connection.unread() > QUIET
