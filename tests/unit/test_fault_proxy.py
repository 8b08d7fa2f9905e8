"""The fault proxy itself: each fault does what it says, at the byte that it names, and no more."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fakes_relay import until
from fault_blows import MOST_BYTES, Blow, Fault, Wound
from fault_lines import RELAY
from fault_proxy import Proxy
from ramferry.transport.address import UnixAddress
from ramferry.transport.listening import Listener

DATA = bytes(range(256)) * 40
DEADLINE = 20.0


class Ends:
    """A proxy between sockets of this test: those that connect, and those that it leads to."""

    def __init__(self, folder: Path) -> None:
        self._listener = Listener(UnixAddress(str(folder / "far")))
        self._sock = self._listener.sockets[0]
        self._sock.settimeout(DEADLINE)
        self.proxy = Proxy(UnixAddress(str(folder / "near")), UnixAddress(str(folder / "far")))
        self._path = str(folder / "near")
        self._open: list[socket.socket] = []

    def connect(self) -> socket.socket:
        near = socket.socket(socket.AF_UNIX)
        near.settimeout(DEADLINE)
        self._open.append(near)
        near.connect(self._path)
        return near

    def accept(self) -> socket.socket:
        far, _ = self._sock.accept()
        far.settimeout(DEADLINE)
        self._open.append(far)
        return far

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """A connection that the proxy knows, so that a blow without bytes meets it."""
        known = len(self.proxy.lines)
        near = self.connect()
        far = self.accept()
        until(lambda: len(self.proxy.lines) > known, DEADLINE, "the proxy's line")
        return near, far

    def close(self) -> None:
        for sock in self._open:
            sock.close()
        self.proxy.close()
        self._listener.close()


@contextmanager
def between(folder: Path) -> Iterator[Ends]:
    ends = Ends(folder)
    try:
        yield ends
    finally:
        ends.close()


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    with between(tmp_path) as found:
        yield found


def whole(sock: socket.socket) -> bytes:
    """All that comes until the end, or a reset."""
    got = b""
    try:
        while data := sock.recv(65536):
            got += data
    except ConnectionResetError:
        pass
    return got


def carried(ends: Ends, blow: Blow) -> bytes:
    """What arrives of DATA."""
    near, far = ends.pair()
    ends.proxy.strike(blow)
    near.sendall(DATA)
    near.shutdown(socket.SHUT_WR)
    return whole(far)


def test_without_a_blow_everything_passes_both_ways_and_so_does_each_end(ends: Ends) -> None:
    near, far = ends.pair()
    near.sendall(DATA)
    near.shutdown(socket.SHUT_WR)
    assert whole(far) == DATA
    far.sendall(DATA[::-1])
    far.close()
    assert whole(near) == DATA[::-1]


@pytest.mark.parametrize("skip", [0, 1, 4097, len(DATA) - 1])
def test_a_flip_changes_one_bit_of_the_byte_that_it_names(ends: Ends, skip: int) -> None:
    got = carried(ends, Blow("flip", "", "forward", skip=skip, seed=5))
    assert ends.proxy.hit.is_set()
    changed = [at for at, (a, b) in enumerate(zip(got, DATA, strict=True)) if a != b]
    assert changed == [skip]
    assert (got[skip] ^ DATA[skip]).bit_count() == 1


def test_what_it_does_is_chosen_by_the_seed(tmp_path: Path) -> None:
    seen = set()
    for seed in (1, 1, 2, 3):
        folder = tmp_path / f"{len(seen)}-{seed}-{time.monotonic_ns()}"
        folder.mkdir()
        with between(folder) as ends:
            seen.add(carried(ends, Blow("insert", "", "forward", skip=9, seed=seed)))
    assert len(seen) == 3


@pytest.mark.parametrize(("fault", "sign"), [("insert", 1), ("drop", -1), ("duplicate", 1)])
def test_bytes_come_to_be_too_many_or_too_few_at_one_place(
    ends: Ends, fault: Fault, sign: int
) -> None:
    got = carried(ends, Blow(fault, "", "forward", skip=1000, seed=2))
    more = len(got) - len(DATA)
    assert 1 <= more * sign <= MOST_BYTES
    assert got[:1000] == DATA[:1000]
    if fault == "drop":
        assert got[1000:] == DATA[1000 - more :]
    else:
        assert got[1000 + more :] == DATA[1000:]
    if fault == "duplicate":
        assert got[1000 : 1000 + more] == DATA[1000 : 1000 + more]


def test_a_blow_that_has_more_to_skip_than_comes_has_not_hit(ends: Ends) -> None:
    assert carried(ends, Blow("flip", "", "forward", skip=len(DATA))) == DATA
    assert not ends.proxy.hit.is_set()


def test_garbage_goes_on_to_the_end(ends: Ends) -> None:
    got = carried(ends, Blow("garbage", "", "forward"))
    assert len(got) == len(DATA)
    assert sum(a == b for a, b in zip(got, DATA, strict=True)) < len(DATA) / 50


def test_the_other_way_is_not_hit(ends: Ends) -> None:
    near, far = ends.pair()
    ends.proxy.strike(Blow("flip", "", "back"))
    near.sendall(DATA)
    near.shutdown(socket.SHUT_WR)
    assert whole(far) == DATA
    far.sendall(DATA)
    far.close()
    assert whole(near) != DATA


@pytest.mark.parametrize("fault", ["cut", "reset", "truncate"])
def test_both_ways_end_after_so_many_bytes(ends: Ends, fault: Fault) -> None:
    near, far = ends.pair()
    ends.proxy.strike(Blow(fault, "", skip=777))
    near.sendall(DATA)
    if fault != "reset":  # which may overtake what it ends
        assert whole(far) == DATA[:777]
    assert whole(near) == b""
    assert ends.proxy.hit.is_set()


def test_a_cut_without_bytes_to_skip_is_at_once(ends: Ends) -> None:
    near, far = ends.pair()
    near.sendall(b"name it")
    assert far.recv(7, socket.MSG_WAITALL) == b"name it"
    ends.proxy.strike(Blow("cut", "main"))
    assert (whole(near), whole(far)) == (b"", b"")


@pytest.mark.parametrize("skip", [0, 500])
def test_a_half_cut_ends_one_way_and_its_sender_is_not_told(ends: Ends, skip: int) -> None:
    near, far = ends.pair()
    ends.proxy.strike(Blow("half-cut", "", "forward", skip=skip))
    for _ in range(30):  # more than sockets hold
        near.sendall(DATA)
    assert whole(far) == DATA[:skip]
    far.sendall(DATA)
    far.close()
    assert near.recv(len(DATA), socket.MSG_WAITALL) == DATA


def test_a_stall_holds_and_then_delivers_all(ends: Ends) -> None:
    near, far = ends.pair()
    begin = time.monotonic()
    ends.proxy.strike(Blow("stall", "", seconds=0.4))
    near.sendall(DATA)
    assert far.recv(len(DATA), socket.MSG_WAITALL) == DATA
    assert time.monotonic() - begin > 0.2


def test_a_dead_line_delivers_nothing_and_is_reset(ends: Ends) -> None:
    near, far = ends.pair()
    ends.proxy.strike(Blow("dead", "", seconds=0.3))
    near.sendall(DATA)
    assert whole(far) == b""
    assert whole(near) == b""


@pytest.mark.parametrize(("fault", "seconds"), [("trickle", 0.3), ("delay", 0.3)])
def test_a_slow_line_delivers_all(ends: Ends, fault: Fault, seconds: float) -> None:
    begin = time.monotonic()
    assert carried(ends, Blow(fault, "", seconds=seconds)) == DATA
    assert time.monotonic() - begin > 0.05


def test_a_swallowed_connection_is_accepted_and_leads_nowhere(ends: Ends) -> None:
    ends.proxy.strike(Blow("swallow", "connection 1"))
    ends.pair()
    lost = ends.connect()
    lost.sendall(b"hello?")
    near, far = ends.pair()
    near.sendall(b"here")
    assert far.recv(4, socket.MSG_WAITALL) == b"here"
    lost.settimeout(0.1)
    with pytest.raises(TimeoutError):
        lost.recv(1)
    ends.proxy.heal()
    lost.settimeout(DEADLINE)
    assert whole(lost) == b""


@pytest.mark.parametrize("next_comes", [True, False])
def test_a_connection_is_led_on_after_the_next_or_after_a_time(
    ends: Ends, next_comes: bool
) -> None:
    ends.proxy.strike(Blow("reorder", "connection 0", seconds=DEADLINE if next_comes else 0.2))
    first = ends.connect()
    first.sendall(b"first ")
    expected = [b"first "]
    if next_comes:
        ends.connect().sendall(b"second")
        expected = [b"second", b"first "]
    assert [ends.accept().recv(6, socket.MSG_WAITALL) for _ in expected] == expected


def test_to_refuse_a_connection_is_a_hit(ends: Ends) -> None:
    ends.proxy.strike(Blow("flip", "connection 5"), lasting=True)
    assert not ends.proxy.hit.is_set()
    assert whole(ends.connect()) == b""
    assert ends.proxy.hit.is_set()


def test_a_line_that_was_lost_for_good_takes_no_other_until_it_heals(ends: Ends) -> None:
    ends.pair()
    ends.proxy.strike(Blow("cut", ""), lasting=True)
    assert whole(ends.connect()) == b""
    ends.proxy.heal()
    near, far = ends.pair()
    near.sendall(DATA)
    assert far.recv(len(DATA), socket.MSG_WAITALL) == DATA


MULTIFD_3 = b"\x11\x22\x33\x44" + bytes(20) + b"\x03" + bytes(200)


@pytest.mark.parametrize(
    ("first", "name"),
    [
        (b"QEVM\0\0\0\3", "main"),
        (MULTIFD_3, "multifd 3"),
        (RELAY + b"\0\1\1" + bytes(17), "control"),
        (RELAY + b"\0\1\2" + bytes(17), "main"),
        (RELAY + b"\0\1\3" + bytes(17) + MULTIFD_3, "multifd 3"),
        (RELAY + b"\0\1\4" + bytes(17), "control again"),
        (b"\x16\x03\x01\x02\x00", "tls 0"),
    ],
)
def test_connections_are_known_by_their_first_bytes(ends: Ends, first: bytes, name: str) -> None:
    near, far = ends.pair()
    near.sendall(first)
    assert far.recv(len(first), socket.MSG_WAITALL) == first
    assert [line.name for line in ends.proxy.lines] == [name]


def test_only_the_connection_that_is_named_is_hit(ends: Ends) -> None:
    spared, hit = ends.pair(), ends.pair()
    ends.proxy.strike(Blow("cut", "connection 1"))
    assert whole(hit[1]) == b""
    spared[0].sendall(DATA)
    assert spared[1].recv(len(DATA), socket.MSG_WAITALL) == DATA


def test_a_blow_to_all_connections_changes_one_of_them() -> None:
    wound = Wound(Blow("flip", "", skip=10))
    found: list[int | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(wound.opens(bytes(8)))) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [at for at in found if at is not None] == [2]
