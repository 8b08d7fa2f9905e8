"""Routes from one QEMU to another through relays that run as child processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from migrating import PAGE, listen, migrate, wait_arrived

from ramferry.bench.qemu import Qemu
from ramferry.control.migrate.relay_child import RelayChild
from ramferry.control.migrate.route import RelayStep
from ramferry.metrics import RelayResult

WAIT_SECONDS = 10.0
"""For a relay to end after its migration has; it takes some milliseconds."""


@dataclass(frozen=True, slots=True)
class Route:
    """The method of each connection on the way: the source's, then what each relay sends."""

    methods: tuple[str, ...]
    hop: str = "tcp"
    """What relays speak to each other: "tcp", as to a QEMU, or "relay"."""
    max_bandwidth: int = 0
    """Wire bytes a second that the source's relay sends at most; 0: no cap."""
    auto_level: bool = False
    """Whether the source's relay moves the level of its method."""

    def __str__(self) -> str:
        return ">".join(self.methods) + (f"-{self.hop}" if self.hop != "tcp" else "")

    @property
    def source(self) -> str:
        """What the source QEMU compresses with."""
        return self.methods[0]

    @property
    def destination(self) -> str:
        """What the destination QEMU inflates."""
        return self.methods[-1]


@contextmanager
def relays(route: Route, incoming: str, folder: str, channels: int) -> Iterator[list[RelayChild]]:
    """Start the route's relays, from the destination's to the source's; they come in that order.

    The source's relay listens on a unix socket in ``folder``, the others on a free TCP port.
    """
    with ExitStack() as stack:
        started: list[RelayChild] = []
        connect = incoming
        for place in range(len(route.methods) - 1, 0, -1):
            address = f"unix:{folder}/relay" if place == 1 else f"{route.hop}:127.0.0.1:0"
            cap = route.max_bandwidth if place == 1 else 0
            step = RelayStep(
                f"hop {place}",
                address,
                route.methods[place],
                max_bandwidth=cap,
                auto_level=route.auto_level and place == 1,
            )
            child = RelayChild(step, connect, channels)
            stack.callback(child.end)
            connect = child.wait_listening()
            started.append(child)
        yield started


def carry(
    source: Qemu, destination: Qemu, route: Route, channels: int, seconds: float = 40
) -> list[RelayResult]:
    """Migrate along the route and see every QEMU and relay of it succeed.

    A lone relay reaches its destination over TCP, a pair's last one over a unix socket.

    :return: the relays' results, the source's first.
    """
    address = "tcp:127.0.0.1:0" if len(route.methods) == 2 else None
    incoming = listen(destination, route.destination, channels, address)
    with relays(route, incoming, str(source.folder), channels) as children:
        migrate(source, children[-1].uri, route.source, channels, seconds)
        wait_arrived(destination)
        results = [child.wait_finished(WAIT_SECONDS) for child in reversed(children)]
        for child, result in zip(reversed(children), results, strict=True):
            assert result is not None, f"{child.side} told no result: {child.complaint()}"
            assert result.completed, f"{child.side}: {result.error}"
            assert child.complaint() is None
    return [result for result in results if result is not None]


def check_results(results: list[RelayResult], route: Route, channels: int) -> None:
    """What every relay of a route has to say about a migration that went well."""
    for place, result in enumerate(results):
        assert (result.method_in, result.method_out) == route.methods[place : place + 2]
        assert result.channels == channels
        assert result.exit_code == 0
        assert result.error == ""
        last, first = place == len(results) - 1, place == 0
        assert (result.agreed_in is not None) == (route.hop == "relay" and not first)
        assert (result.agreed_out is not None) == (route.hop == "relay" and not last)
        assert result.gated, "the main channel's marks passed unheld"
        assert result.backend
        assert result.counters.normal_pages == results[0].counters.normal_pages
        assert result.counters.normal_bytes == result.counters.normal_pages * PAGE
        if result.method_out != "none":
            assert result.counters.ratio > 2
    for before, after in pairwise(results):
        assert before.counters.bytes_out == after.counters.bytes_in


def normal_pages(qemu: Qemu) -> int:
    """Pages of the guest's RAM that are not zero."""
    return int(np.count_nonzero(qemu.ram.reshape(-1, PAGE).any(axis=1)))
