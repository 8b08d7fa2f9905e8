"""Several migrations at a time through one relay, or one pair of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from fakes_destination import FakeDestination, Habits
from fakes_relay import RelayThread, Stage, until
from fakes_source import FakeSource
from fakes_wire import Guest, Script
from ramferry.flows.settings import RelaySettings
from ramferry.metrics import RelayResult
from ramferry.transport.address import Address, RelayAddress, TcpAddress, UnixAddress

LONG = 60.0
"""Seconds after which a test of many gives up: their threads share the cores with other tests."""


def uuid_of(number: int) -> bytes:
    """The UUID of a guest."""
    return UUID(int=0x5EED_0000 + number).bytes


def guest_of(number: int, **fields: object) -> Guest:
    """A guest with memory and a UUID of its own."""
    return Guest(uuid=uuid_of(number), seed=number, **{"method": "none", **fields})  # type: ignore[arg-type]


@dataclass(eq=False)
class Move:
    """One guest's migration: both ends of it."""

    number: int
    script: Script
    destination: FakeDestination
    source: FakeSource | None = None

    @property
    def uuid(self) -> str:
        return str(UUID(bytes=self.script.guest.uuid))

    def arrived(self) -> None:
        """Its guest is at its own destination, whole, and knows that."""
        assert self.source is not None
        until(lambda: self.destination.complete, LONG, f"guest {self.number} arrives")
        until(self.destination.all_ended, LONG, "the destination's connections end")
        source = self.source
        until(lambda: source.status == "completed", LONG, "the source hears of it")
        assert self.destination.faults == []
        assert self.destination.memory == self.script.memory
        assert self.destination.uuids == {self.script.guest.uuid}

    def stayed(self) -> None:
        """Its guest is at the source."""
        assert self.source is not None
        assert self.source.done.wait(LONG)
        self.destination.released.set()
        until(self.destination.all_ended, LONG, "the destination's connections end")
        assert self.source.status == "failed"
        assert not self.destination.complete


class Many:
    """Guests, and a way for all of them."""

    def __init__(self, folder: Path, method: str = "zlib", **settings: object) -> None:
        self.folder = folder
        named = UnixAddress(str(folder / "{uuid}"))
        self.stage = Stage(
            folder, **{"method": method, "max_migrations": 8, "stall_timeout": LONG, **settings}
        )
        # each source comes from an address of its own, as from a host of its own
        self.stage.change(listen=TcpAddress("127.0.0.1", 0), connect=named)
        self.moves: list[Move] = []

    @contextlib.contextmanager
    def guests(
        self, scripts: list[Script], habits: dict[int, Habits] | None = None
    ) -> Iterator[list[Move]]:
        """Their destinations wait, each at its own guest's address."""
        with contextlib.ExitStack() as stack:
            moves = []
            for number, script in enumerate(scripts):
                at = UnixAddress(str(self.folder / str(UUID(bytes=script.guest.uuid))))
                with contextlib.suppress(FileNotFoundError):
                    Path(at.path).unlink()
                method = self.stage.settings.method
                ready = FakeDestination(at, script.guest, method, (habits or {}).get(number))
                stack.callback(ready.close)
                moves.append(Move(number, script, ready))
            yield moves

    @contextlib.contextmanager
    def sources(
        self, address: Address, moves: list[Move], *, one_host: bool = False
    ) -> Iterator[None]:
        """They all migrate."""
        with contextlib.ExitStack() as stack:
            for move in moves:
                host = "127.0.0.1" if one_host else f"127.0.1.{1 + move.number}"
                move.source = FakeSource(address, move.script, host)
                stack.callback(move.source.close)
            yield


def results_of(relay: RelayThread, moves: list[Move]) -> list[RelayResult]:
    """How the migrations ended, in the order of ``moves``."""
    until(lambda: len(relay.seen.results) >= len(moves), LONG, "all migrations end")
    by_uuid = {one.uuid: one for one in relay.seen.results}
    return [by_uuid[move.uuid] for move in moves]


@contextlib.contextmanager
def many_by_a_pair(
    folder: Path,
    between: Callable[
        [Address], contextlib.AbstractContextManager[Address]
    ] = contextlib.nullcontext,
    method: str = "zstd",
    **settings: object,
) -> Iterator[tuple[Many, RelayThread, RelayThread]]:
    """Two relays at ``relay:``; what is ``between`` them is told where the far one listens."""
    many = Many(folder, "none", **settings)
    far_settings = replace(
        many.stage.settings, listen=RelayAddress(UnixAddress(str(folder / "far")))
    )
    with RelayThread(far_settings) as far, between(far.address) as onward:
        near_settings = RelaySettings(
            TcpAddress("127.0.0.1", 0),
            onward,
            method,
            stall_timeout=far_settings.stall_timeout,
            max_migrations=far_settings.max_migrations,
        )
        with RelayThread(near_settings) as near:
            yield many, near, far
