"""A fault proxy that strikes one multifd channel after some bytes."""

from __future__ import annotations

from collections.abc import Iterator

from fault_blows import Blow, Fault, Way
from fault_proxy import Line, Proxy
from ramferry.transport.address import Place


class Meddler(Proxy):
    """On one multifd channel, after some bytes, the fault happens once."""

    def __init__(self, listen: Place, target: Place, fault: Fault, channel: int, at: int):
        """:param at: bytes of the channel that pass before the fault."""
        self._victim = f"multifd {channel}"
        self._fault = fault
        self._at = at
        self._passed = 0
        super().__init__(listen, target, self._count)

    def _count(self, line: Line, way: Way, data: bytes) -> Iterator[bytes]:
        if way == "forward" and line.name == self._victim:
            self._passed += len(data)
            if self._passed > self._at:
                self.strike(Blow(self._fault, self._victim, "forward", seed=1))
        yield data
