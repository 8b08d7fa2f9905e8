"""A relay in a thread between the fakes, and proof that it leaves nothing behind."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import patiently
from fakes_destination import FakeDestination, Habits
from fakes_source import SETTLE, FakeSource
from fakes_wire import Guest, Script
from leftovers import descriptors, descriptors_close, threads, threads_end
from ramferry.flows.relay import Relay
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayCounters, RelayResult
from ramferry.transport.address import Address, TcpAddress, UnixAddress

NOTICE = 4.0
"""Seconds within which both sides must have seen the end: longer than a fake's thread stands still
on a busy machine, and shorter than what Ramferry itself waits for (5 s and more), which must not be
what ends them."""


def until(met: Callable[[], bool], seconds: float = SETTLE, what: str = "") -> None:
    """Wait for a condition, or fail."""
    patiently.until(met, seconds, what)


class Recorder:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.address: Address | None = None
        self.results: list[RelayResult] = []
        self.notes: list[str] = []
        self.snapshots: list[RelayCounters] = []
        self.failures: list[tuple[str, str]] = []

    def listening(self, address: Address) -> None:
        self.address = address

    def progress(self, counters: RelayCounters) -> None:
        self.snapshots.append(counters)

    def failing(self, migration: str, error: str) -> None:
        self.failures.append((migration, error))

    def finished(self, result: RelayResult) -> None:
        self.results.append(result)

    def note(self, text: str) -> None:
        self.notes.append(text)


class RelayThread:
    """A real ``Relay`` in a thread; leaving the context proves that nothing of it is left."""

    def __init__(self, settings: RelaySettings, *, once: bool = False) -> None:
        self._once = once
        self._threads = threads()
        self._descriptors = descriptors()
        self.seen = Recorder()
        self.relay = Relay(settings, self.seen)
        self.error: BaseException | None = None
        self.result: RelayResult | None = None
        self.thread = threading.Thread(target=self._run, name="relay")
        self.thread.start()
        until(lambda: self.seen.address is not None)

    @property
    def address(self) -> Address:
        assert self.seen.address is not None
        return self.seen.address

    @property
    def session(self):  # type: ignore[no-untyped-def]
        return self.relay.arrivals.session

    def waiting(self) -> set[int]:
        """Ids of the channels that wait for a main channel to come."""
        return self.relay.arrivals.waiting

    def gathered(self) -> None:
        """Wait until every channel of the migration under way is known."""
        until(lambda: self.session is not None and self.session.gathered.is_set())

    def _run(self) -> None:
        try:
            self.result = self.relay.run(once=self._once)
        except BaseException as error:
            self.error = error

    def finished(self, count: int = 1, seconds: float = SETTLE) -> RelayResult:
        """Wait for the end of a migration; how it ended."""
        until(lambda: len(self.seen.results) >= count, seconds, "the relay finishes")
        return self.seen.results[count - 1]

    def ends(self) -> None:
        """Wait until it has ended, whyever."""
        until(lambda: not self.thread.is_alive(), NOTICE, "the relay ends")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.relay.stop("the test is over")
        if kind is not None:
            # a second signal cuts a switchover that the failed test left open
            self.relay.stop("the test failed")
        self.thread.join(SETTLE)
        assert not self.thread.is_alive(), "the relay hangs"
        if self.error is not None:
            raise self.error
        if kind is None:
            threads_end(self._threads)
            descriptors_close(self._descriptors)


class Stage:
    """One address each for a relay and a destination, and a migration between them."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.last: FakeDestination
        """The destination of the last migration that failed."""
        self.destination_address: Address = UnixAddress(str(folder / "destination"))
        self.settings = RelaySettings(
            listen=UnixAddress(str(folder / "relay")),
            connect=self.destination_address,
            **{"method": "zlib", "stall_timeout": SETTLE, **settings},  # type: ignore[arg-type]
        )

    def over_tcp(self) -> None:
        """Use loopback ports instead of socket paths."""
        # bound as long as the stage lives, so that the port is nobody else's
        reserved = socket.socket()
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        weakref.finalize(self, reserved.close)
        self.destination_address = TcpAddress("127.0.0.1", reserved.getsockname()[1])
        self.change(listen=TcpAddress("127.0.0.1", 0), connect=self.destination_address)

    def change(self, **settings: object) -> None:
        self.settings = replace(self.settings, **settings)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def destination(self, guest: Guest, habits: Habits | None = None) -> Iterator[FakeDestination]:
        """A destination that waits at the stage's address."""
        ready = FakeDestination(self.destination_address, guest, self.settings.method, habits)
        try:
            yield ready
        finally:
            ready.close()
            if isinstance(self.destination_address, UnixAddress):
                Path(self.destination_address.path).unlink(missing_ok=True)

    @contextlib.contextmanager
    def source(self, relay: RelayThread, script: Script) -> Iterator[FakeSource]:
        """A source that runs a script against the relay."""
        running = FakeSource(relay.address, script)
        try:
            yield running
        finally:
            running.close()

    def carry(self, relay: RelayThread, script: Script, nth: int = 1) -> FakeDestination:
        """A good migration through a running relay; the destination that took it in."""
        with (
            self.destination(script.guest) as destination,
            self.source(relay, script) as source,
        ):
            result = relay.finished(nth)
            assert result.error == ""
            assert result.completed
            assert result.exit_code == 0
            assert source.status == "completed"
            until(destination.all_ended, NOTICE, "the destination's connections end")
            until(lambda: not source.left(), NOTICE, "the source's connections end")
        assert destination.faults == []
        assert destination.complete
        assert destination.memory == script.memory
        assert destination.marks == list(range(script.guest.rounds + 1))
        return destination

    def fail(
        self,
        relay: RelayThread,
        script: Script,
        habits: Habits | None = None,
        *,
        nth: int = 1,
    ) -> RelayResult:
        """A migration that must fail on both sides; how it ended.

        The source's guest runs on, the destination waits for no SYNC and did not take over, every
        connection has ended on both sides within ``NOTICE``.
        """
        with (
            self.destination(script.guest, habits) as destination,
            self.source(relay, script) as source,
        ):
            result = relay.finished(nth)
            assert not result.completed
            assert result.error
            assert source.done.wait(SETTLE)
            until(lambda: source.left() <= relay.waiting(), NOTICE, "the source's connections end")
            destination.released.set()
            until(destination.all_ended, NOTICE, "the destination's connections end")
            assert source.status == "failed"
        # channels that came when main had already failed go with their source
        until(lambda: not relay.waiting(), NOTICE, "late channels are forgotten")
        # a packet may be cut, never damaged, and no mark came that could not be met
        assert not [fault for fault in destination.faults if "was cut after" not in fault]
        assert not destination.complete
        assert destination.marks == list(range(len(destination.marks)))
        self.last = destination
        return result
