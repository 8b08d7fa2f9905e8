"""The lobby: what a connection is, by its first bytes in whatever pieces, and who delays a mark."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ramferry.flows import lobby as lobby_module
from ramferry.flows.lobby import Lobby, MainArrival, MultifdArrival
from ramferry.flows.loop import Loop
from ramferry.transport import budget
from ramferry.transport.address import TcpAddress, UnixAddress
from ramferry.transport.listening import Listener
from ramferry.wire.packets import Initial

SETTLE = 5.0
INITIAL = Initial(bytes(range(16)), 7)


class Room:
    """A lobby on a socket of its own, and whoever calls there."""

    def __init__(self, path: Path) -> None:
        self.arrivals: list[MainArrival | MultifdArrival] = []
        self.notes: list[str] = []
        self.loop = Loop()
        self.listener = Listener(UnixAddress(str(path)))
        self.lobby = Lobby(self.loop, self.listener, self.arrivals.append, self.notes.append)
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

    def close(self) -> None:
        self.lobby.close()
        self.listener.close()
        self.loop.close()
        for sock in [*self._callers, *(arrival.sock for arrival in self.arrivals)]:
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
    assert arrival.sock.recv(10) == b"\0\0\0\3\7"


def test_a_channel_arrives_with_its_initial_packet_and_not_before(room: Room) -> None:
    caller = room.call()
    room.say(caller, INITIAL.encode()[:63])
    assert room.arrivals == []
    room.say(caller, INITIAL.encode()[63:] + b"more")
    (arrival,) = room.arrivals
    assert isinstance(arrival, MultifdArrival)
    assert arrival.initial == INITIAL
    assert arrival.sock.recv(10) == b"more"


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
        elif not first.startswith(lobby_module.MULTIFD_MAGIC):
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


def test_the_window_of_a_tcp_caller_starts_small_and_can_grow_on_a_long_link() -> None:
    loop, arrivals = Loop(), list[MainArrival | MultifdArrival]()
    listener = Listener(TcpAddress("127.0.0.1", 0))
    lobby = Lobby(loop, listener, arrivals.append, pytest.fail)
    with socket.create_connection(listener.first.getsockname()) as caller:
        caller.sendall(INITIAL.encode())
        deadline = time.monotonic() + SETTLE
        while not arrivals:
            assert time.monotonic() < deadline
            loop.step(0.01)
        with arrivals[0].sock as taken:
            assert taken.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == budget.INITIAL
            info = taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
            most_in_flight = 0xFFFF << (info[6] >> 4)  # tcpi_rcv_wscale
            assert most_in_flight >= budget.LARGEST
    lobby.close()
    loop.close()
    listener.close()
