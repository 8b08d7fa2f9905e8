"""A tunnel's connections, from the hello to the arrival: over real sockets, in any order."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from connecting import Aside, session, taken, until
from ramferry.errors import MigrationFailed
from ramferry.flows.inlet.arrivals import Arrivals
from ramferry.flows.inlet.callers import MainArrival, MultifdArrival
from ramferry.flows.peer.far import Far
from ramferry.flows.peer.reception import Reception
from ramferry.flows.peer.stream import Tunnel
from ramferry.flows.session.loop import Loop
from ramferry.flows.session.session import Session
from ramferry.transport.address import RelayAddress, UnixAddress
from ramferry.transport.connection import Connection
from ramferry.transport.dialing import connect
from ramferry.transport.listening import Listener
from ramferry.wire.relay_opening import Kind, Opening, Place


class House:
    """Where a tunnel may come, with its loop in a thread."""

    def __init__(self, path: Path, *, streams: bool = True) -> None:
        self.address = RelayAddress(UnixAddress(str(path)))
        self.notes: list[str] = []
        self.mains: list[MainArrival] = []
        self.session = session("zstd")
        self._listener = Listener(self.address)
        self._loop = Loop()
        settings = self.session.settings
        reception = Reception(settings, self.notes.append, lambda: "", streams=streams)
        self.arrivals = Arrivals(
            self._loop, self._listener, self, self.notes.append, None, "", reception
        )
        self._over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over:
            self._loop.step(0.01)
            self.arrivals.expire()

    def enter(self, source: Connection) -> Session:
        del source
        return self.session

    def main(self, session: Session, arrival: MainArrival) -> None:
        assert session is self.session
        self.mains.append(arrival)

    def channel(self, session: Session, arrival: MultifdArrival) -> None:
        raise AssertionError(session, arrival)

    def close(self) -> None:
        self._over = True
        self._thread.join()
        self.arrivals.close()
        for connection in self.session.sources:
            connection.close()
        self._loop.close()
        self._listener.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with contextlib.closing(House(tmp_path / "in")) as made:
        yield made


class Side:
    """The side that connects."""

    def __init__(self, house: House) -> None:
        self.session = session("zstd")
        self._house = house
        self.far = Far.greet(
            self.session, house.address, connect(house.address), "zstd", self.connected
        )

    def connected(self) -> Connection:
        made = connect(self._house.address)
        made.settle(5)
        return made

    def tunnel(self, count: int) -> Tunnel:
        made = self.far.stream([self.connected() for _ in range(count)])
        made.start(self.session)
        return made

    def place(self, index: int, count: int) -> Connection:
        made = self.connected()
        opening = Opening(Kind.STREAM, self.far.token).encode()
        made.send([opening + Place(index, count).encode()])
        return made


@pytest.mark.parametrize("count", [1, 3, 255])
def test_a_tunnel_comes_as_main_before_its_first_byte(house: House, count: int) -> None:
    side = Side(house)
    assert side.far.agreed.streams
    with contextlib.closing(side.tunnel(count)) as near:
        until(lambda: house.mains)
        arrival = house.mains[0]
        assert arrival.connection is arrival.tunnel
        assert arrival.first == b""
        assert house.session.sources == [arrival.tunnel]
        far = arrival.connection
        far.send([b"who speaks first"])
        assert taken(near, 16) == b"who speaks first"
        data = os.urandom(1 << 20) + bytes(1 << 20)
        sender = Aside(lambda: near.send([data]))
        assert taken(far, len(data)) == data
        assert sender.result() == len(data)
        near.finish()
        assert taken(far, 1) == b""
        far.finish()
        assert taken(near, 1) == b""
        assert (side.session.error, house.session.error) == (None, None)
    side.far.close()


def test_all_that_comes_before_the_last_connection_is_kept(house: House) -> None:
    side = Side(house)
    connections = [side.connected() for _ in range(3)]
    late = _Late(connections[2])
    near = side.far.stream([*connections[:2], late])
    near.start(side.session)
    with contextlib.closing(near):
        near.send([b"early"])
        near.finish()
        assert not house.mains
        late.open()
        until(lambda: house.mains)
        assert taken(house.mains[0].connection, 10) == b"early"
    side.far.close()


class _Late:
    """A connection whose first bytes come late."""

    def __init__(self, inner: Connection) -> None:
        self._inner = inner
        self._held: list[bytes] = []
        self._lock = threading.Lock()
        self._opened = False

    def send(self, parts: list[bytes]) -> int:
        with self._lock:
            if not self._opened:
                self._held += map(bytes, parts)
                return sum(map(len, parts))
        return self._inner.send(list(parts))

    def finish(self) -> None:
        with self._lock:
            if self._opened:
                self._inner.finish()

    def open(self) -> None:
        with self._lock:
            self._opened = True
            self._inner.send(list(self._held))
            self._inner.finish()

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


@pytest.mark.parametrize(
    ("places", "sentence"),
    [
        ([(0, 2), (0, 2)], "each of 2 connections once, received 0 of 2"),
        ([(0, 2), (1, 3)], "each of 2 connections once, received 1 of 3"),
        ([(2, 2)], "a connection of 1 to 255 by its number, received 2 of 2"),
    ],
)
def test_places_that_do_not_fit_fail_the_migration(
    house: House, places: list[tuple[int, int]], sentence: str
) -> None:
    side = Side(house)
    made = [side.place(*place) for place in places]
    until(lambda: side.session.failed)
    assert sentence in str(side.session.error)
    assert any(sentence in note for note in house.notes)
    assert not house.mains
    for one in made:
        one.close()
    side.far.close()


def test_where_no_tunnel_was_agreed_none_is_taken(tmp_path: Path) -> None:
    with contextlib.closing(House(tmp_path / "in", streams=False)) as house:
        side = Side(house)
        assert not side.far.agreed.streams
        made = side.place(0, 1)
        until(lambda: side.session.failed)
        assert "main as it was agreed on, received a tunnel" in str(side.session.error)
        made.close()
        side.far.close()


def test_a_connection_that_breaks_at_its_opening_is_told(house: House) -> None:
    side = Side(house)
    connections = [side.connected() for _ in range(2)]
    connections[1].cut()
    with pytest.raises(MigrationFailed, match="main: the destination broke the connection"):
        side.far.stream(connections)
    assert [one.fileno() for one in connections] == [-1, -1]
    side.far.close()
