"""Channels that wait for their main: who is taken, who is turned out, and who is remembered."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Container, Iterator

import pytest

import raw_sockets
from fakes_clock import Clock
from fakes_relay import until
from ramferry.flows.inlet import waiting as waiting_module
from ramferry.flows.inlet.callers import Departure, MultifdArrival
from ramferry.flows.inlet.calls import QUIET, Call, Claim
from ramferry.flows.inlet.lobby import SILENCE
from ramferry.flows.inlet.waiting import MOTHERLESS, WaitingChannels
from ramferry.flows.session.loop import Loop
from ramferry.transport.plain import Plain
from ramferry.wire.packets import Initial

HERE, THERE = "192.0.2.1", "192.0.2.2"
LEFT_OVER = "refused multifd {}, which is left over from an earlier migration"
PAGES = bytes(4 * QUIET)


def fill(far: socket.socket) -> None:
    """Send until the window is full, and end the connection: its FIN waits behind the rest."""
    far.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            far.send(PAGES)
    far.close()


class Room:
    """A waiting room, and both ends of whoever is in it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.loop = Loop()
        self.notes: list[str] = []
        self.departures: list[Departure] = []
        self.silent: list[Call] = []
        self.waiting = WaitingChannels(
            self.loop,
            self.notes.append,
            self._departed,
            lambda: self.silent,
            clock=self.clock.monotonic,
        )
        self.claim: Claim
        """Of the main that spoke last."""
        self._socks: list[socket.socket] = []

    def _departed(self, departure: Departure) -> None:
        self.departures.append(departure)
        self.waiting.remember(departure)

    def add(
        self, number: int, channel: int = 0, origin: str = HERE, *, tcp: bool = False
    ) -> socket.socket:
        """A channel comes; the source's end of it."""
        if tcp:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                far = socket.create_connection(listener.getsockname())
                near, _ = listener.accept()
        else:
            near, far = socket.socketpair()
        self._socks += [near, far]
        self.waiting.add(
            MultifdArrival(Plain(near), Initial(bytes(16), channel), Call(number, origin))
        )
        return far

    def take(self, main: Call) -> list[int]:
        """A main has spoken; the ids that it is given."""
        self.claim = self.waiting.begin(main, time.monotonic())
        return taken(self.waiting.take(self.claim))

    def take_early(self, ids: Container[int] = ()) -> list[int]:
        return taken(self.waiting.take_early(self.claim, ids))

    def ended(self, accepted: int, *, failed: bool) -> None:
        self.waiting.ended(self.claim, accepted, failed=failed)

    def near(self, far: socket.socket) -> socket.socket:
        return self._socks[self._socks.index(far) - 1]

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 4)):
            self.clock.now += 0.25
            self.waiting.expire()

    def close(self) -> None:
        self.waiting.close()
        self.loop.close()
        for sock in self._socks:
            sock.close()


@pytest.fixture
def room() -> Iterator[Room]:
    room = Room()
    yield room
    room.close()


def taken(arrivals: list[MultifdArrival]) -> list[int]:
    for arrival in arrivals:
        arrival.connection.close()
    return [arrival.initial.channel_id for arrival in arrivals]


def test_who_came_after_main_is_its_own(room: Room) -> None:
    room.add(1, 0)
    room.add(2, 1, THERE)
    assert room.take(Call(0, HERE)) == [0, 1]
    assert room.waiting.ids == []


def test_who_has_a_main_of_its_own_that_is_still_silent_waits_for_it(room: Room) -> None:
    room.add(2, 0, THERE)
    room.add(3, 0)
    room.silent = [Call(1, THERE)]
    assert room.take(Call(0, HERE)) == [0]
    assert room.waiting.ids == [0]


def test_who_came_before_main_is_taken_only_where_it_is_missed(room: Room) -> None:
    """Over TCP, main's handshake may end behind those of its channels."""
    room.add(0, 0)
    room.add(1, 1)
    room.add(3, 1)
    assert room.take(Call(2, HERE)) == [1]
    assert room.take_early({1}) == [0]
    assert room.notes == ["refused multifd 1, which is left over from an earlier migration"]
    assert room.waiting.ids == []


@pytest.mark.parametrize("tcp", [False, True])
def test_who_came_before_main_and_is_closed_is_never_taken(room: Room, tcp: bool) -> None:
    room.add(0, 0, tcp=tcp).close()
    if tcp:
        until(lambda: bool(room.loop._epoll.poll(0)))
    # the loop has not come to it
    assert room.waiting.ids == [0]
    assert room.take(Call(1, HERE)) == []
    assert room.take_early() == []
    assert room.departures == [Departure(Call(0, HERE), "multifd 0")]


def test_who_may_be_closed_behind_its_pages_is_never_taken(room: Room) -> None:
    far = room.add(0, 0, tcp=True)
    near = room.near(far)
    fill(far)
    until(lambda: raw_sockets.unread(near) > QUIET)
    wait = raw_sockets.heard_at(near) + 0.1
    until(lambda: time.monotonic() > wait)
    assert room.take(Call(1, HERE)) == []
    assert room.take_early() == []
    assert room.notes == ["refused multifd 0, which is left over from an earlier migration"]


def test_pages_behind_a_unix_sockets_end_hide_nothing(room: Room) -> None:
    room.add(0, 0).sendall(PAGES)
    assert room.take(Call(1, HERE)) == []
    assert room.take_early() == [0]


def test_pages_that_come_after_mains_first_bytes_are_no_sign_of_an_end(room: Room) -> None:
    far = room.add(0, 0, tcp=True)
    assert room.take(Call(1, HERE)) == []
    near = room.near(far)
    far.sendall(PAGES)
    until(lambda: raw_sockets.unread(near) > QUIET)
    assert room.take_early() == [0]


def test_a_migrations_end_turns_out_who_came_before_it(room: Room) -> None:
    room.take(Call(0, HERE))
    room.silent = [Call(2, THERE)]
    room.add(1, 0)
    room.add(3, 1, THERE)
    room.ended(4, failed=False)
    # of one the main may still speak
    assert room.waiting.ids == [1]
    room.silent = []
    # classified only now
    room.add(3, 2)
    assert room.waiting.ids == [1]
    assert room.notes == [LEFT_OVER.format(0), LEFT_OVER.format(2)]


def test_late_channels_of_a_migration_that_has_failed_are_turned_out_at_once(room: Room) -> None:
    """Their source waits for somebody who takes what they hold, and would for long."""
    room.take(Call(0, HERE))
    room.ended(1, failed=True)
    room.add(1, 0)
    room.add(2, 1, THERE)
    assert room.waiting.ids == [1]
    room.silent = [Call(3, HERE)]
    room.add(4, 2)
    assert room.waiting.ids == [1, 2]
    room.silent = []
    room.pass_time(0.25)
    assert room.waiting.ids == [1]
    room.pass_time(MOTHERLESS + 0.25)
    room.add(5, 3)
    assert room.waiting.ids == [3]


def test_the_next_try_keeps_its_channels_however_soon_it_comes(room: Room) -> None:
    room.take(Call(0, HERE))
    room.ended(1, failed=True)
    assert room.take(Call(1, HERE)) == []
    room.add(2, 0)
    assert taken(room.waiting.take(room.claim)) == [0]


def test_who_came_before_a_main_of_others_waits_on(room: Room) -> None:
    room.add(0, 0, THERE)
    room.add(2, 1)
    room.silent = [Call(1, HERE)]
    assert room.take(Call(3, HERE)) == []
    assert room.take_early() == []
    assert room.waiting.ids == [0, 1]
    assert room.notes == []


def test_who_left_since_main_came_is_remembered(room: Room) -> None:
    for number, origin in ((0, HERE), (2, HERE), (3, THERE)):
        room.add(number, number, origin).close()
    until(lambda: not (room.loop.step(0) or room.waiting.ids))
    room.take(Call(1, HERE))
    assert room.waiting.gone(room.claim) == [Departure(Call(2, HERE), "multifd 2")]
    room.ended(4, failed=True)
    assert room.waiting.gone(room.claim) == []


def test_who_has_no_main_to_come_is_turned_out_soon(room: Room) -> None:
    """Also one that is closed behind its pages, which nobody can see."""
    far = room.add(0, 7, tcp=True)
    near = room.near(far)
    fill(far)
    until(lambda: raw_sockets.unread(near) > QUIET)
    room.pass_time(MOTHERLESS)
    assert room.waiting.ids == [7]
    room.pass_time(0.5)
    assert room.waiting.ids == []
    assert room.notes == ["refused multifd 7, which was without its main channel for 2 s"]


def test_who_may_have_a_main_to_come_waits_for_it(room: Room) -> None:
    room.add(0, 3)
    room.silent = [Call(1, THERE)]
    room.pass_time(SILENCE)
    assert room.waiting.ids == [3]
    room.pass_time(0.5)
    assert room.notes == ["refused multifd 3, which was without its main channel for 30 s"]


def test_who_may_belong_to_the_main_that_gathers_waits_as_long(room: Room) -> None:
    room.add(0, 3)
    room.take(Call(1, HERE))
    room.pass_time(2 * MOTHERLESS)
    assert room.take_early() == [3]


@pytest.mark.parametrize("stopped", [3, 30, 300])
def test_nobody_is_turned_out_for_the_time_in_which_the_relay_stood_still(
    room: Room, stopped: float
) -> None:
    far = room.add(0, 0, tcp=True)
    far.sendall(PAGES)
    room.pass_time(1)
    room.clock.now += stopped
    room.waiting.expire()
    assert room.waiting.ids == [0]


def test_a_crowd_keeps_out_itself_and_nobody_else(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_module, "MAX_CHANNELS", 4)
    monkeypatch.setattr(waiting_module, "MOST_IN_ALL", 6)
    room.add(0, 100, THERE)
    for number in range(1, 12):
        room.add(number, number)
    assert room.waiting.ids == [100, 8, 9, 10, 11]
    assert len(room.notes) == 7
