"""The relays of one route on this host: started far one first, ended together."""

from __future__ import annotations

from ramferry.control.migrate.cause import Complaint
from ramferry.control.migrate.relay_child import RelayChild
from ramferry.control.migrate.route import Route
from ramferry.metrics import RelayCounters, RelayResult


class Relays:
    """Also a context manager that ends what still runs, so that none outlives the migration."""

    def __init__(self) -> None:
        """None yet; ``start`` starts them."""
        self._children: dict[str, RelayChild] = {}
        self._let_be = False

    def start(self, route: Route, address: str, channels: int) -> str:
        """Start the relays of ``route``; where the source is to connect.

        :param address: where the first one, or the source itself, finds the destination.
        :raise RamferryError: one of them cannot listen; the others end with this object.
        """
        for step in route.relays:
            child = RelayChild(step, address, channels)
            self._children[step.side] = child
            address = child.wait_listening()
        return address

    def complaints(self) -> list[Complaint]:
        """Of those that ended too early; empty where all run or have completed."""
        return [found for child in self._children.values() if (found := child.complaint())]

    def counters(self, side: str) -> RelayCounters | None:
        """The latest snapshot of a side's relay; None where it has none, or no bytes yet."""
        child = self._children.get(side)
        return child.counters if child else None

    def wait_finished(self, seconds: float) -> None:
        """Wait for all of them to end by themselves, each at most so long."""
        for child in self._children.values():
            child.wait_finished(seconds)

    def let_be(self) -> list[str]:
        """Leave those that run to carry the destination's answer, which alone ends a switchover.

        They end by themselves when it has come, or a connection has closed.

        :return: a clause that says so; nothing where there are none.
        """
        self._let_be = True
        running = [child for child in self._children.values() if child.complaint() is None]
        pids = " and ".join(str(child.pid) for child in running)
        return [f"its relays, process {pids}, wait for the destination's answer"] if pids else []

    def result(self, side: str) -> RelayResult | None:
        """What a side's relay said at its end; None where it has none or said nothing."""
        child = self._children.get(side)
        return child.result if child else None

    def results(self) -> tuple[RelayResult, ...]:
        """What all of them said at their ends, the source's first."""
        found = (self.result(side) for side in ("source", "destination"))
        return tuple(one for one in found if one is not None)

    def cpu_seconds(self, side: str) -> float:
        """CPU time of a side's relay so far; 0 where it has none."""
        counters = self.counters(side)
        return counters.cpu_seconds if counters else 0.0

    def __enter__(self) -> Relays:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._let_be:
            return  # a relay whose reader goes away in a switchover waits for the answer
        for child in self._children.values():
            child.end()
