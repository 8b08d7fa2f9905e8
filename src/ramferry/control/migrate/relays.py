"""The relays of one route that this process starts, the far one first, and ends together."""

from __future__ import annotations

from ramferry.control.migrate.cause import Complaint, Rank
from ramferry.control.migrate.in_flight import Delivered
from ramferry.control.migrate.relay_child import RelayChild
from ramferry.control.migrate.route import Route
from ramferry.errors import PeerTimeout
from ramferry.metrics import RelayCounters, RelayResult
from ramferry.patience import Patience
from ramferry.transport import inherited_credentials, one_time
from ramferry.transport.address import UnixAddress, parse_address, place_of


def _secrets(route: Route) -> dict[str, bytes]:
    """Credentials for the two relays, by side: made for this migration, if the way between them is
    for relays only and does not end at a socket of ssh's."""
    for step in route.relays:
        in_ssh = isinstance(place_of(parse_address(step.listen)), UnixAddress)
        if step.host.apart and not in_ssh:
            made = one_time.make()
            return {
                "destination": inherited_credentials.text(made.listens),
                "source": inherited_credentials.text(made.connects),
            }
    return {}


class Relays:
    """The relays of one route; a context manager that ends those that still run."""

    def __init__(self) -> None:
        """Start nothing yet; see ``start``."""
        self._children: dict[str, RelayChild] = {}
        self._let_be = False

    def start(self, route: Route, address: str, channels: int) -> str:
        """Start the relays of ``route``; return the migration URI that the source is to connect to.

        :param address: the destination's migration URI, for the first relay or, without relays, for
            the source.
        :raise RamferryError: one of them cannot listen; the others end when this object does.
        """
        secrets = _secrets(route)
        for step in route.relays:
            child = RelayChild(step, address, channels, secrets.get(step.side, b""))
            self._children[step.side] = child
            address = step.host.reached_at(child.wait_listening())
        return address

    def complaints(self) -> list[Complaint]:
        """The complaints of the relays that ended too early; empty if all run or have completed."""
        return [found for child in self._children.values() if (found := child.complaint())]

    def failing(self) -> Complaint | None:
        """What the source's relay says while it holds on to a source whose migration has failed;
        None if it does not, or did not."""
        child = self._children.get("source")
        if child is None or not child.failing:
            return None
        return Complaint(Rank.RELAY_SAW, f"the source relay says: {child.failing}")

    def undecided(self) -> str:
        """What the source's relay said when it gave up to find out how the switchover ended, as a
        clause; empty if it did not."""
        child = self._children.get("source")
        complaint = child.complaint() if child is not None else None
        result = self.result("source")
        gave_up = result is not None and result.exit_code == PeerTimeout.exit_code
        return complaint.clause if complaint is not None and gave_up else ""

    def asked_for(self) -> float:
        """Seconds for which the source's relay, or what is left of it if it was killed, may find
        out how the switchover ended; 0 if there is none, or it is through."""
        child = self._children.get("source")
        if child is None or (child.result is not None and not child.running):
            return 0.0
        return child.decide

    @property
    def choice(self) -> str:
        """What the source's relay chooses now, as in ``MigrationSample``."""
        counters = self.counters("source")
        return counters.choice if counters is not None else ""

    def counters(self, side: str) -> RelayCounters | None:
        """The latest counters of a side's relay; None if the side has none, or no bytes came
        yet."""
        child = self._children.get(side)
        return child.counters if child else None

    def delivered(self, began: float) -> Delivered | None:
        """What the farthest of them that tells has passed on; None if nobody has told yet.

        :param began: when the migration began, by this host's monotonic clock.
        """
        for side in ("destination", "source"):
            child = self._children.get(side)
            if child is not None and child.told is not None:
                at, counters = child.told
                return Delivered(at - began, counters.normal_bytes)
        return None

    def wait_finished(self, seconds: float) -> None:
        """Wait up to ``seconds`` for all of them to end by themselves."""
        patience = Patience(seconds, longest_step=seconds)
        for child in self._children.values():
            child.wait_finished(patience.left)

    def let_be(self) -> list[str]:
        """Leave the relays running, because the destination's answer, which ends a switchover,
        comes by them.

        They end by themselves when it has come, or a connection has closed.

        :return: a clause that says so; empty if none runs.
        """
        self._let_be = True
        running = [child for child in self._children.values() if child.complaint() is None]
        pids = " and ".join(str(child.pid) for child in running)
        return [f"its relays, process {pids}, wait for the destination's answer"] if pids else []

    def result(self, side: str) -> RelayResult | None:
        """The result of a side's relay; None if the side has none, or it gave no result."""
        child = self._children.get(side)
        return child.result if child else None

    def results(self) -> tuple[RelayResult, ...]:
        """The results of all relays, the source's first."""
        found = (self.result(side) for side in ("source", "destination"))
        return tuple(one for one in found if one is not None)

    def cpu_seconds(self, side: str) -> float:
        """CPU seconds of a side's relay so far; 0 if the side has none."""
        counters = self.counters(side)
        return counters.cpu_seconds if counters else 0.0

    def __enter__(self) -> Relays:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._let_be:
            return  # a relay whose reader goes away in a switchover waits for the answer
        for child in self._children.values():
            child.end()
