"""Whose a channel is, where two sources of one origin connect at the same time."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest

from ramferry.errors import RamferryError
from ramferry.flows.inlet.callers import MultifdArrival
from ramferry.flows.inlet.calls import Call, Claim, claimants
from ramferry.flows.inlet.migrations import Migration, Migrations, refuse_doubtful
from ramferry.flows.inlet.roster import Roster
from ramferry.flows.inlet.waiting import WaitingChannels
from ramferry.flows.session.loop import Loop
from ramferry.flows.session.session import Session
from ramferry.flows.settings import RelaySettings
from ramferry.transport.address import UnixAddress
from ramferry.transport.plain import Plain
from ramferry.wire.packets import Initial

HERE, THERE = "192.0.2.1", "192.0.2.2"
UUIDS = {"a": b"A" * 16, "b": b"B" * 16}
AT_ONCE = ("main", "speaks", "0", "1")
"""How a source up to 9.2 comes."""
SILENT = ("main", "0", "1", "speaks")
"""And one from 10.0 on."""
SETTINGS = RelaySettings(UnixAddress("/a"), UnixAddress("/b"), "none")


class Nothing:
    """What lies behind these sessions."""

    def unblock(self) -> None: ...


class Hall:
    """Two sources arrive, step by step."""

    def __init__(self, uuids: dict[str, bytes], origins: dict[str, str]) -> None:
        self.loop = Loop()
        self.uuids, self.origins = uuids, origins
        self.silent: list[Call] = []
        self.waiting = WaitingChannels(
            self.loop, lambda _: None, lambda _: None, lambda: self.silent, several=True
        )
        self.migrations = Migrations()
        self.of: dict[str, Migration] = {}
        self.calls: dict[str, Call] = {}
        self.given: dict[str, list[str]] = {"a": [], "b": []}
        """Whose channels each migration got."""
        self._names: dict[int, str] = {}
        self._numbers = itertools.count()
        self._socks: list[socket.socket] = []

    def step(self, who: str, what: str) -> None:
        if what == "main":
            self.calls[who] = Call(next(self._numbers), self.origins[who])
            self.silent.append(self.calls[who])
        elif what == "speaks":
            self.silent.remove(self.calls[who])
            self._begin(who)
        else:
            self._channel(who, int(what))
        for one in self.migrations.ungathered():
            self._give(one, self.waiting.take(one.claim))

    def _begin(self, who: str) -> None:
        session = Session(SETTINGS, note=lambda _: None)
        session.behind = Nothing()  # type: ignore[assignment]
        one = Migration(session, self.waiting.begin(self.calls[who], 0.0), Roster(None))
        self.of[who] = one
        self.migrations.all.append(one)

    def _channel(self, who: str, id: int) -> None:
        near, far = socket.socketpair()
        self._socks.append(far)
        call = Call(next(self._numbers), self.origins[who])
        self._names[call.number] = who
        self.waiting.add(MultifdArrival(Plain(near), Initial(self.uuids[who], id), call))

    def _give(self, one: Migration, arrivals: list[MultifdArrival]) -> None:
        who = next(name for name, other in self.of.items() if other is one)
        for arrival in arrivals:
            self.given[who].append(self._names[arrival.call.number])
            try:
                one.roster.admit(arrival.initial)
            except RamferryError as error:
                one.session.fail(error)
            arrival.connection.close()

    def gather(self, who: str) -> None:
        """Main waits before its first mark."""
        one = self.of[who]
        if one.session.failed:
            return
        self._give(one, self.waiting.take(one.claim))
        refuse_doubtful(one, self.migrations, self.waiting, all_here=True)
        if not one.session.failed:
            one.session.gathered.set()

    def close(self) -> None:
        self.waiting.close()
        self.loop.close()
        for sock in self._socks:
            sock.close()


def interleaved(first: tuple[str, ...], second: tuple[str, ...]) -> Iterator[list[tuple[str, str]]]:
    size = len(first) + len(second)
    for places in itertools.combinations(range(size), len(first)):
        ours, theirs = iter(first), iter(second)
        yield [("a", next(ours)) if at in places else ("b", next(theirs)) for at in range(size)]


def run(
    order: list[tuple[str, str]],
    uuids: dict[str, bytes],
    origins: dict[str, str],
) -> tuple[dict[str, list[str]], dict[str, bool]]:
    """What each migration got, and which failed; each waits for its channels once all have come."""
    hall = Hall(uuids, origins)
    waits: set[str] = set()
    last = {who: at for at, (who, _) in enumerate(order)}
    try:
        for at, (who, what) in enumerate(order):
            hall.step(who, what)
            # the lobby waits for who has connected and said nothing
            waits |= {who} if at == last[who] else set()
            while waits and not hall.silent:
                hall.gather(min(waits))
                waits.discard(min(waits))
        return hall.given, {who: one.session.failed for who, one in hall.of.items()}
    finally:
        hall.close()


WAYS = list(itertools.product((AT_ONCE, SILENT), repeat=2))


@pytest.mark.parametrize(("first", "second"), WAYS)
def test_no_guest_gets_a_channel_of_another_in_any_order(
    first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    for order in interleaved(first, second):
        given, failed = run(order, UUIDS, {"a": HERE, "b": HERE})
        names = [f"{who}{what}" for who, what in order]
        assert set(given["a"]) <= {"a"}, order
        assert set(given["b"]) <= {"b"}, order
        for who in "ab":
            assert failed[who] or len(given[who]) == 2, order
        # both mains came before any channel: nothing tells whose those are
        channels = [at for at, (_, what) in enumerate(order) if what in "01"]
        doubtful = max(names.index("amain"), names.index("bmain")) < min(channels)
        assert doubtful or failed == {"a": False, "b": False}, order


@pytest.mark.parametrize(("first", "second"), WAYS)
@pytest.mark.parametrize("uuids", [UUIDS, {"a": bytes(16), "b": bytes(16)}])
def test_sources_of_different_origins_are_always_told_apart(
    first: tuple[str, ...], second: tuple[str, ...], uuids: dict[str, bytes]
) -> None:
    for order in interleaved(first, second):
        given, failed = run(order, uuids, {"a": HERE, "b": THERE})
        assert given == {"a": ["a", "a"], "b": ["b", "b"]}, order
        assert failed == {"a": False, "b": False}, order


@pytest.mark.parametrize(("first", "second"), WAYS)
def test_guests_without_a_uuid_are_never_mixed(
    first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    """Their channels look alike; those that came before the second main are certain."""
    for order in interleaved(first, second):
        given, failed = run(order, dict.fromkeys("ab", bytes(16)), {"a": HERE, "b": HERE})
        for who in "ab":
            assert failed[who] or given[who] == [who, who], order


def test_a_forwarders_channel_belongs_to_the_only_main_that_gathers() -> None:
    full, gathers = Claim(Call(0, HERE), 0.0, gathered=True), Claim(Call(1, HERE), 0.0)
    assert claimants(Call(2, THERE), UUIDS["a"], [full, gathers], []) == [gathers]
    assert claimants(Call(2, THERE), UUIDS["a"], [full, gathers], [Call(1, THERE)]) == [
        Call(1, THERE)
    ]
