"""The course of ``ramferry migrate libvirt:DOMAIN DESTURI``.

Everything that can be refused is refused before libvirt is asked. Then relays are started, libvirt
migrates through them, and its job is watched. What libvirt does with the domain (its state, its
definition, hooks, locks) is libvirt's alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

from ramferry.control.hosts.contract import Host, Meter
from ramferry.control.hosts.cpu import percent
from ramferry.control.hosts.host import HERE
from ramferry.control.libvirt.contract import RUNNING, Move, Stats
from ramferry.control.libvirt.domain import Domain, check_leaves, look_up
from ramferry.control.libvirt.end import DomainEnd
from ramferry.control.libvirt.places import whereabouts
from ramferry.control.libvirt.uri import DomainUri
from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.course import FAREWELL_SECONDS
from ramferry.control.migrate.domain_hands import DomainHands
from ramferry.control.migrate.domain_route import DomainWish, move_of, plan_domain, socket_path
from ramferry.control.migrate.domain_watch import DomainWatch, arrived, last_info
from ramferry.control.migrate.relays import Relays
from ramferry.control.migrate.result import (
    Beside,
    Compressor,
    Cpu,
    compressor_of_relay,
    result_of,
)
from ramferry.control.migrate.route import Route
from ramferry.control.migrate.steering import Steering
from ramferry.control.qemu.status import HANDOVER_SECONDS
from ramferry.errors import Cancelled, PeerTimeout, RamferryError
from ramferry.metrics import MigrationResult


def migrate_domain(
    uri: DomainUri,
    destination: str,
    wish: DomainWish,
    reach: Callable[[], Host | None],
    hooks: Hooks,
    timeout: float | None = None,
) -> MigrationResult:
    """Have libvirt move a domain through relays.

    :param destination: the destination daemon's URI, as libvirt on this host understands it.
    :param reach: connects to the destination's host, once the domain is known to be one that can
        leave; returns None if the relay there runs already.
    :param timeout: seconds from the start of the migration until it is aborted.
    :raise UsageError: there is no such domain, it has no guest, or an option makes no sense.
    :raise PeerUnreachable: a daemon or the far host does not answer.
    :raise MigrationFailed: it ended early; the sentence says why and where the guest is.
    :raise Cancelled: ``hooks.stop`` or the timeout ended it.
    :raise PeerTimeout: it is not decided where the guest is.
    """
    path = socket_path(uri.connection, wish)
    with ExitStack() as stack:
        near_end = stack.enter_context(DomainEnd(uri.connection, uri.name))
        domain = near_end.ask(lambda near: look_up(near, uri.name))
        check_leaves(domain)
        far = reach()
        far_end = stack.enter_context(DomainEnd(destination, uri.name))
        route = plan_domain(destination, path, wish.relays, far)
        move = move_of(wish, path, far)
        hooks.on_route(route)
        stack.enter_context(HERE.forsaken(path))
        if far is not None:
            stack.enter_context(far.forsaken(path))
        relays = stack.enter_context(Relays())
        return _Course(near_end, far_end, domain, wish, route, far, relays, hooks).run(
            move, timeout
        )


class _Processor:
    """CPU time of a domain's QEMU, from the moment that it was found to the last look: libvirt ends
    the source's before it says that the migration is through."""

    def __init__(self, host: Host | None, domain: Domain) -> None:
        self._host, self._domain = host, domain
        self._meter: Meter | None = None
        self.before: float | None = None
        self.after: float | None = None

    def look(self) -> None:
        """Find the QEMU, if it is not found yet, and read its CPU time, if it has any yet."""
        if self._meter is None:
            self._find()
        if self._meter is not None and (seconds := self._meter.seconds()) is not None:
            self.after = seconds
            self.before = seconds if self.before is None else self.before

    def _find(self) -> None:
        if self._host is None:
            return
        found = self._host.domain_process(self._domain.name, self._domain.uuid)
        if found is not None:
            self._meter = self._host.meter(*found)


@dataclass(frozen=True, slots=True)
class _Course:
    source: DomainEnd
    destination: DomainEnd
    domain: Domain
    wish: DomainWish
    route: Route
    far: Host | None
    relays: Relays
    hooks: Hooks

    def run(self, move: Move, timeout: float | None) -> MigrationResult:
        """Move, and measure."""
        self.relays.start(self.route, self.route.address, self.wish.relays.channels)
        if self.hooks.stop.is_set():
            place = whereabouts(self.domain.state, self.source.look(), self.destination.look())
            raise Cancelled(f"cancelled before the migration began; {place}")
        near, far = _Processor(HERE, self.domain), _Processor(self.far, self.domain)
        near.look()
        wish, hands = self.wish.relays, DomainHands(self.source, self.hooks.on_note)
        steering = Steering(wish, hands, self.hooks.on_note, told=False)
        before, ends = self.domain.state, (self.source, self.destination)
        watch = DomainWatch(*ends, before, self.relays, self.hooks, steering)

        def every(_: Stats) -> None:
            near.look()
            far.look()

        watch.run(move, timeout, every)
        far.look()
        info = self._info(watch)
        cpu = self._cpu(near, far, int(info["total-time"]))
        still_ms = self._see_arrival(hands)
        self.relays.wait_finished(FAREWELL_SECONDS)
        beside = replace(
            self._beside(cpu),
            downtime_limit_ms=steering.limit_ms,
            stalled=steering.stalled,
            still_ms=still_ms,
        )
        return result_of(info, self.route, wish, beside)

    def _info(self, watch: DomainWatch) -> dict[str, Any]:
        """The last statistics: the destination's, which alone has seen how long the guest stood
        still; else the source's, or the latest that were seen."""
        milliseconds = int(watch.elapsed * 1000)
        for end in (self.destination, self.source):
            with suppress(RamferryError):
                stats = end.ask(lambda one: one.last_job(self.domain.name))
                if stats.get("memory_total"):
                    return last_info(stats, milliseconds)
        return last_info(watch.last, milliseconds)

    def _see_arrival(self, hands: DomainHands) -> int | None:
        """Return ``DomainHands.still_ms`` of the moment in which the guest is seen.

        :raise PeerTimeout: libvirt says that it has migrated, and the guest is not seen.
        """
        insist = self.hooks.insist
        state = self.destination.settle({self.domain.state, RUNNING}, HANDOVER_SECONDS, insist)
        if not arrived(self.domain.state, state):
            place = whereabouts(self.domain.state, self.source.look(), state)
            raise PeerTimeout(f"libvirt's migration has completed, but {place}")
        return hands.still_ms

    def _cpu(self, near: _Processor, far: _Processor, total_ms: int) -> Cpu:
        send, recv = (
            percent(one.before, one.after, self.relays.cpu_seconds(side), total_ms)
            for side, one in (("source", near), ("destination", far))
        )
        return Cpu(send, recv)

    def _beside(self, cpu: Cpu) -> Beside:
        sender, counters = self.relays.result("source"), self.relays.counters("source")
        method = self.wish.relays.method
        compressor = Compressor("", None)
        if sender is not None:
            compressor = compressor_of_relay(sender, method)
        wire = None if counters is None else counters.bytes_out
        return Beside(wire, compressor, cpu, self.relays.results())
