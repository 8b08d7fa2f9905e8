"""The course of ``ramferry migrate``: check, plan, set up, move, and leave both ends as they were.

Everything that can be refused is refused before the source is told to migrate. From then on one
loop (``Watch``) looks at the source, the relays and the caller's wish to stop, until the source's
status is final. Whatever happens, the relays end, the settings are set back, and the last sentence
says where the guest is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from ramferry.control.hosts.addresses import port_is_open, with_port_of
from ramferry.control.hosts.cpu import percent
from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.relay_options import advice
from ramferry.control.migrate.relays import Relays
from ramferry.control.migrate.result import Beside, Cpu, compressor_of, result_of, wire_bytes_of
from ramferry.control.migrate.route import Route, Wish, plan
from ramferry.control.migrate.route_settings import destination_settings, source_settings
from ramferry.control.migrate.socket_folders import SocketFolders
from ramferry.control.migrate.watch import Watch
from ramferry.control.qemu.end import QemuEnd, open_end
from ramferry.control.qemu.fit import check_pair
from ramferry.control.qemu.probe import uri_of
from ramferry.control.qemu.ready import check_destination, check_source, lost_writes
from ramferry.control.qemu.status import ARRIVING, GONE, HANDOVER_SECONDS, whereabouts
from ramferry.control.qemu.uri import monitor_address
from ramferry.errors import (
    Cancelled,
    MethodUnavailable,
    MigrationFailed,
    PeerTimeout,
    PeerUnreachable,
    UsageError,
)
from ramferry.metrics import MigrationResult

FAREWELL_SECONDS = 10.0
"""How long a relay may take to end after a completed migration; it waits itself up to 5 s for the
source to close its side."""


def migrate(
    source_uri: str, destination_uri: str, wish: Wish, hooks: Hooks, timeout: float | None = None
) -> MigrationResult:
    """Move the guest of one QEMU to another.

    :param source_uri: ``qmp:PATH`` or ``qmp:HOST:PORT``, as ``destination_uri``, or
        ``ssh://HOST/PATH`` if its host in ``wish.hosts`` is one by ssh.
    :param timeout: seconds from the start of the migration until it is cancelled.
    :raise UsageError: an address, an option or the state of a QEMU makes no sense.
    :raise PeerUnreachable: a QEMU does not answer, or vanished.
    :raise MethodUnavailable: the method cannot be had on this route.
    :raise MigrationFailed: it ended early; the sentence says why and where the guest is.
    :raise Cancelled: ``hooks.stop`` or the timeout ended it; the guest stayed at the source.
    """
    if source_uri == destination_uri or (
        wish.hosts.source.apart == wish.hosts.destination.apart
        and monitor_address(source_uri) == monitor_address(destination_uri)
    ):
        raise UsageError(f"source and destination are the same QEMU: {source_uri}")
    with ExitStack() as stack:
        source = stack.enter_context(open_end("source", source_uri, wish.hosts.source))
        destination = stack.enter_context(
            open_end("destination", destination_uri, wish.hosts.destination)
        )
        check_source(source)
        check_destination(destination)
        check_pair(source, destination)
        if note := lost_writes(source):
            hooks.on_doubt(note)
        folders = stack.enter_context(SocketFolders(source.party, destination.party))
        route = plan(source.party, destination.party, wish, folders.sockets)
        folders.require(route)
        hooks.on_route(route)
        if note := advice(wish, len(route.relays)):
            hooks.on_note(note)
        for end in (source, destination):
            stack.callback(end.restore_or_tell, hooks.on_note)
        relays = stack.enter_context(Relays())
        return _Course(source, destination, wish, route, folders, relays, hooks, timeout).run()


@dataclass(frozen=True, slots=True)
class _Course:
    """One planned migration, from the first setting to the result."""

    source: QemuEnd
    destination: QemuEnd
    wish: Wish
    route: Route
    folders: SocketFolders
    relays: Relays
    hooks: Hooks
    timeout: float | None

    def run(self) -> MigrationResult:
        """Set up, move, hand over, measure."""
        here, there = self.source.facts, self.destination.facts
        self.source.apply(source_settings(here, self.route, self.wish, there))
        self.destination.apply(destination_settings(there, self.route, self.wish, here))
        address = self._connect_stations()
        self._heed_stop()
        watch = Watch(self.source, self.destination, self.relays, self.wish, self.hooks)
        before = (self.source.meter.seconds(), self.destination.meter.seconds())
        self._begin(address)
        info = watch.until_completed(self.timeout)
        watch.pause.arrived(self._hand_over())
        after = (self.source.meter.seconds(), self.destination.meter.seconds())
        self.relays.wait_finished(FAREWELL_SECONDS)
        return self._result(info, self._cpu(before, after, int(info["total-time"])), watch)

    def _begin(self, address: str) -> None:
        try:
            self.source.execute("migrate", {"uri": address})
        except MethodUnavailable as error:
            # for example a device that cannot migrate: nothing was sent
            place = whereabouts(self.source.facts.run_state, self.source.run_state(), GONE)
            raise MigrationFailed(f"{error}; {place}") from error

    def _connect_stations(self) -> str:
        """Start the relays and let the destination listen; return the URI that the source is to
        connect to.

        Relays come first, because a destination that was told to listen cannot be told to stop. If
        the destination is to choose its port, it listens first, because the relays need that port.
        """
        if port_is_open(self.route.address):
            self._listen()
            return self._start_relays(with_port_of(self.route.address, self._chosen_address()))
        address = self._start_relays(self.route.address)
        self._listen()
        return address

    def _start_relays(self, address: str) -> str:
        found = self.relays.start(self.route, address, self.wish.channels)
        self.folders.admit_source()
        return found

    def _heed_stop(self) -> None:
        if self.hooks.stop.is_set():
            before = self.source.facts.run_state
            place = whereabouts(before, self.source.run_state(), GONE)
            raise Cancelled(f"cancelled before the migration began; {place}")

    def _listen(self) -> None:
        self._heed_stop()
        if self.route.incoming is not None:
            self.destination.listen(self.route.incoming)

    def _chosen_address(self) -> str:
        info = self.destination.execute("query-migrate")
        chosen = next(filter(None, map(uri_of, info.get("socket-address") or ())), None)
        if chosen is None:
            raise UsageError(
                f"the destination does not tell which port it chose at {self.route.incoming}:"
                " name one with --incoming tcp:HOST:PORT"
            )
        return chosen

    def _hand_over(self) -> str:
        """Wait until the destination has taken the guest over; return its run state.

        :raise PeerUnreachable: the destination vanished with the guest it had accepted.
        :raise PeerTimeout: it does not say within ``HANDOVER_SECONDS`` that the guest is there.
        """
        state = self.destination.settle_in(HANDOVER_SECONDS)
        advice = (
            "the source holds the guest as it was at the switchover: make sure that the"
            " destination does not run it, then `cont` at the source"
        )
        if state == GONE:
            raise PeerUnreachable(
                f"the destination accepted the guest, and then its QEMU ended; {advice}"
            )
        if state is None:
            raise PeerTimeout(
                "the source has completed, so that the guest is the destination's, whose monitor"
                f" does not answer for {HANDOVER_SECONDS:g} s: see there, with `info status`, that"
                f" it runs; {advice}"
            )
        if state == ARRIVING:
            raise PeerTimeout(
                f"the source has completed, but the destination is {state} after"
                f" {HANDOVER_SECONDS:g} s; {advice}"
            )
        return state

    def _cpu(
        self,
        before: tuple[float | None, float | None],
        after: tuple[float | None, float | None],
        total_ms: int,
    ) -> Cpu:
        send, recv = (
            percent(start, end, self.relays.cpu_seconds(side), total_ms)
            for side, start, end in zip(("source", "destination"), before, after, strict=True)
        )
        return Cpu(send, recv)

    def _result(self, info: Mapping[str, Any], cpu: Cpu, watch: Watch) -> MigrationResult:
        facts = self.source.facts
        wire = wire_bytes_of(
            info,
            facts,
            self.wish.method,
            self.relays.counters("source"),
            self.relays.counters("destination"),
        )
        level = source_settings(facts, self.route, self.wish, self.destination.facts).parameters
        compressor = compressor_of(
            self.relays.result("source"), facts, {**facts.parameters, **level}, self.wish.method
        )
        beside = Beside(
            wire,
            compressor,
            cpu,
            self.relays.results(),
            watch.steering.limit_ms,
            watch.steering.stalled,
            watch.pause.still_ms,
        )
        return result_of(info, self.route, self.wish, beside)
