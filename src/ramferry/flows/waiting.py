"""multifd channels that came before their main channel's first bytes.

A 10.x source's main is silent until every one of its channels is connected, and theirs are the
first bytes that arrive.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic

from ramferry.flows.lobby import SILENCE, MultifdArrival
from ramferry.flows.loop import HUNG_UP, Loop
from ramferry.wire.packets import MAX_CHANNELS


class WaitingChannels:
    """Keeps them until their main comes or they leave; all in the loop's thread."""

    def __init__(self, loop: Loop, note: Callable[[str], None]) -> None:
        self._loop = loop
        self._note = note
        self._arrivals: list[MultifdArrival] = []

    @property
    def ids(self) -> list[int]:
        """Channel ids of those that wait."""
        return [arrival.initial.channel_id for arrival in self._arrivals]

    def add(self, arrival: MultifdArrival) -> None:
        """Let a channel wait; where as many as a migration can have wait already, the oldest goes.

        A source that gives up before its main spoke takes its channels with it.
        """
        if len(self._arrivals) >= MAX_CHANNELS:
            self._drop(self._arrivals[0])
        self._arrivals.append(arrival)
        self._loop.add(arrival.sock.fileno(), HUNG_UP, partial(self._drop, arrival))

    def take(self) -> list[MultifdArrival]:
        """Hand over all of them: their main has come."""
        arrivals, self._arrivals = self._arrivals, []
        for arrival in arrivals:
            self._loop.remove(arrival.sock.fileno())
        return arrivals

    def expire(self) -> None:
        """Turn out those whose main did not come."""
        now = monotonic()
        for arrival in [one for one in self._arrivals if now - one.since > SILENCE]:
            self._note(
                f"refused multifd {arrival.initial.channel_id}, whose main channel did not come "
                f"in {SILENCE:.0f} s"
            )
            self._drop(arrival)

    def close(self) -> None:
        """Turn out all of them."""
        for arrival in self.take():
            arrival.sock.close()

    def _drop(self, arrival: MultifdArrival) -> None:
        self._loop.remove(arrival.sock.fileno())
        self._arrivals.remove(arrival)
        arrival.sock.close()
