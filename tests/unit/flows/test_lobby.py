"""The lobby: what a connection is, by its first bytes in whatever pieces, and who delays a mark."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes_clock import Clock
from patiently import until
from ramferry.flows.inlet import callers
from ramferry.flows.inlet import lobby as lobby_module
from ramferry.flows.inlet.callers import MAIN_MAGIC, Departure, MainArrival, MultifdArrival
from ramferry.flows.inlet.calls import Call
from ramferry.flows.inlet.lobby import Lobby
from ramferry.flows.session.loop import Loop
from ramferry.transport.address import TcpAddress, UnixAddress
from ramferry.transport.listening import Listener
from ramferry.wire.packets import Initial
from raw_sockets import raw

SETTLE = 5.0
INITIAL = Initial(bytes(range(16)), 7)


class Room:
    """A lobby on a socket of its own, and whoever calls there."""

    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.departures: list[Departure] = []
        self.arrivals: list[MainArrival | MultifdArrival] = []
        self.notes: list[str] = []
        self.loop = Loop()
        self.listener = Listener(UnixAddress(str(path)))
        self.lobby = Lobby(
            self.loop,
            self.listener,
            self.arrivals.append,
            self.notes.append,
            self.departures.append,
            clock=self.clock.monotonic,
        )
        self._path = str(path)
        self._callers: list[socket.socket] = []

    def call(self) -> socket.socket:
        caller = socket.socket(socket.AF_UNIX)
        self._callers.append(caller)
        caller.connect(self._path)
        self.lobby.accept()
        return caller

    def say(self, caller: socket.socket, data: bytes) -> None:
        caller.sendall(data)
        self.settle()

    def settle(self) -> None:
        """Handle every event that is due."""
        for _ in range(4):
            self.loop.step(0)

    def until(self, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SETTLE
        while not met():
            assert time.monotonic() < deadline
            self.loop.step(0.01)

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 4)):
            self.clock.now += 0.25
            self.lobby.expire()

    def close(self) -> None:
        self.lobby.close()
        self.listener.close()
        self.loop.close()
        for sock in [*self._callers, *(arrival.connection for arrival in self.arrivals)]:
            sock.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    room = Room(tmp_path / "lobby")
    yield room
    room.close()


def test_main_arrives_with_its_magic_and_the_rest_is_left_to_it(room: Room) -> None:
    room.say(room.call(), b"QEVM\0\0\0\3\7")
    (arrival,) = room.arrivals
    assert isinstance(arrival, MainArrival)
    assert arrival.first == b"QEVM"
    assert raw(arrival.connection).recv(10) == b"\0\0\0\3\7"


def test_a_channel_arrives_with_its_initial_packet_and_not_before(room: Room) -> None:
    caller = room.call()
    room.say(caller, INITIAL.encode()[:63])
    assert room.arrivals == []
    room.say(caller, INITIAL.encode()[63:] + b"more")
    (arrival,) = room.arrivals
    assert isinstance(arrival, MultifdArrival)
    assert arrival.initial == INITIAL
    assert raw(arrival.connection).recv(10) == b"more"


@given(cuts=st.sets(st.integers(1, 63), max_size=10))
def test_pieces_of_any_size_make_the_same_channel(
    cuts: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    room = Room(tmp_path_factory.mktemp("lobby") / "lobby")
    try:
        caller = room.call()
        edges = [0, *sorted(cuts), 64]
        for start, end in zip(edges, edges[1:], strict=False):  # noqa: RUF007
            assert room.arrivals == []
            room.say(caller, INITIAL.encode()[start:end])
            room.settle()
        room.until(lambda: len(room.arrivals) == 1)
        assert isinstance(room.arrivals[0], MultifdArrival)
        assert room.arrivals[0].initial == INITIAL
        assert room.notes == []
    finally:
        room.close()


@given(first=st.binary(min_size=4, max_size=100))
def test_any_other_bytes_are_refused_with_a_sentence_or_waited_for(
    first: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    room = Room(tmp_path_factory.mktemp("lobby") / "lobby")
    try:
        caller = room.call()
        room.say(caller, first)
        for _ in range(len(first)):
            room.settle()
        if first.startswith(lobby_module.MAIN_MAGIC):
            assert len(room.arrivals) == 1
        elif not first.startswith(callers.MULTIFD_MAGIC):
            assert len(room.notes) == 1
            assert room.arrivals == []
    finally:
        room.close()


def test_a_caller_that_leaves_is_forgotten_without_a_word(room: Room) -> None:
    room.call().close()
    half = room.call()
    half.sendall(b"QE")
    half.close()
    room.until(room.lobby.settled)
    assert room.notes == []


def test_who_has_said_nothing_delays_for_the_grace_only(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert room.lobby.settled()
    room.call()
    assert not room.lobby.settled()
    monkeypatch.setattr(lobby_module, "PROBE_GRACE", 0.0)
    room.pass_time(0.25)
    assert room.lobby.settled()


def test_who_has_begun_to_speak_is_waited_for(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lobby_module, "PROBE_GRACE", 0.0)
    caller = room.call()
    room.say(caller, b"\x11\x22")
    assert not room.lobby.settled()
    room.say(caller, INITIAL.encode()[2:])
    room.settle()
    assert room.lobby.settled()


def test_the_end_turns_everybody_out(room: Room) -> None:
    callers = [room.call() for _ in range(3)]
    room.lobby.close()
    for caller in callers:
        assert caller.recv(1) == b""


# --- who left, who is too many, and what stood still


@pytest.mark.parametrize(
    ("first", "channel"),
    [(b"", ""), (b"QE", ""), (b"GE", ""), (b"\x11", "a multifd channel")]
    + [(INITIAL.encode()[:size], "a multifd channel") for size in (4, 63)],
)
def test_who_left_is_told_of_by_what_it_was(room: Room, first: bytes, channel: str) -> None:
    caller = room.call()
    caller.sendall(first)
    caller.close()
    room.until(lambda: bool(room.departures))
    (departure,) = room.departures
    assert departure.channel == channel
    assert departure.call.number == 0
    assert departure.call.origin == f"process {os.getpid()}"


def test_who_may_become_a_main_is_known(room: Room) -> None:
    room.call()
    room.say(room.call(), b"QEV")
    room.say(room.call(), b"\x11\x22")
    room.say(room.call(), MAIN_MAGIC)
    gone = room.call()
    assert sorted(call.number for call in room.lobby.silent()) == [0, 1, 4]
    gone.close()
    assert sorted(call.number for call in room.lobby.silent()) == [0, 1]
    assert room.lobby.accepted == 5


def test_a_tcp_caller_is_known_by_its_host() -> None:
    loop, departures = Loop(), list[Departure]()
    with Listener(TcpAddress("127.0.0.1", 0)) as listener:
        lobby = Lobby(loop, listener, pytest.fail, pytest.fail, departures.append)
        for host in ("127.0.0.1", "127.0.0.2"):
            place = listener.sockets[0].getsockname()
            socket.create_connection(place, source_address=(host, 0)).close()
        deadline = time.monotonic() + SETTLE
        while len(departures) < 2:
            assert time.monotonic() < deadline
            loop.step(0.01)
        lobby.close()
    loop.close()
    assert [one.call for one in departures] == [Call(0, "127.0.0.1"), Call(1, "127.0.0.2")]


@pytest.mark.parametrize("stopped", [3, 30, 300])
def test_nobody_is_turned_out_for_the_time_in_which_the_relay_stood_still(
    room: Room, stopped: float
) -> None:
    """What a caller said meanwhile lies in the kernel."""
    caller = room.call()
    room.pass_time(1)
    caller.sendall(INITIAL.encode())
    room.clock.now += stopped
    room.lobby.expire()
    room.settle()
    assert len(room.arrivals) == 1
    assert room.notes == []


def test_who_trickles_is_turned_out_like_who_is_silent(room: Room) -> None:
    caller = room.call()
    for byte in INITIAL.encode()[:31]:
        room.say(caller, bytes([byte]))
        room.pass_time(1)
    assert room.notes == [
        f"refused a connection of process {os.getpid()}: it sent 31 bytes in 30 s"
    ]


def test_a_crowd_keeps_out_itself_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lobby_module, "MOST_OF_ONE", 4)
    monkeypatch.setattr(lobby_module, "MOST_CALLERS", 6)
    loop, notes, socks = Loop(), list[str](), list[socket.socket]()
    with Listener(TcpAddress("127.0.0.1", 0)) as listener:
        lobby = Lobby(loop, listener, pytest.fail, notes.append)
        for host in ("127.0.0.9", *["127.0.0.2"] * 6, *["127.0.0.3"] * 3):
            place = listener.sockets[0].getsockname()
            socks.append(socket.create_connection(place, source_address=(host, 0)))
            lobby.accept()
        # by TCP one is there to be accepted a moment after it has connected
        until(lambda: (lobby.accept(), lobby.accepted == len(socks))[1])
        origins = Counter(call.origin for call in lobby.silent())
        lobby.close()
    loop.close()
    for sock in socks:
        sock.close()
    assert origins == {"127.0.0.9": 1, "127.0.0.2": 2, "127.0.0.3": 3}
    # four of them, and one sentence
    assert notes == ["refused a connection of 127.0.0.2: it was silent while too many others came"]


class Failing:
    """A listening socket from which nothing can be accepted for a while."""

    def __init__(self, real: socket.socket) -> None:
        self.real = real
        self.error: OSError | None = None
        self.tries = 0

    def fileno(self) -> int:
        return self.real.fileno()

    def close(self) -> None:
        self.real.close()

    def accept(self) -> tuple[socket.socket, object]:
        self.tries += 1
        if self.error is not None:
            raise self.error
        return self.real.accept()


def fail_with(room: Room, number: int) -> Failing:
    failing = Failing(room.listener.sockets[0])
    failing.error = OSError(number, os.strerror(number))
    room.listener.sockets = [failing]  # type: ignore[list-item]
    return failing


def test_out_of_descriptors_it_looks_away_and_says_so_once(room: Room) -> None:
    failing = fail_with(room, errno.EMFILE)
    room.call()
    for _ in range(100):
        room.loop.step(0)
    assert failing.tries == 1
    room.pass_time(10)
    for _ in range(100):
        room.loop.step(0)
    assert failing.tries <= 21
    said = "connections cannot be accepted (Too many open files): they wait until that has ended"
    assert room.notes == [said]
    # it recovers, and comes back
    error, failing.error = failing.error, None
    room.pass_time(1)
    room.settle()
    assert room.lobby.accepted == 1
    failing.error = error
    room.call()
    room.pass_time(5)
    assert room.notes == [said] * 2


def test_a_connection_that_broke_in_the_queue_is_passed_over(room: Room) -> None:
    failing = fail_with(room, errno.ECONNABORTED)
    accept = failing.accept

    def once() -> tuple[socket.socket, object]:
        try:
            return accept()
        finally:
            failing.error = None

    failing.accept = once  # type: ignore[method-assign]
    room.call()
    assert room.lobby.accepted == 1
    assert room.notes == []
