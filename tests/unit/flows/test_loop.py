"""The loop: events of descriptors, calls from other threads, and what a closed one ignores."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from leftovers import no_descriptor_left
from ramferry.flows.session.loop import HUNG_UP, READABLE, Loop

SETTLE = 5.0


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


Pair = tuple[socket.socket, socket.socket]


def test_a_readable_descriptor_is_reported_until_it_is_read(loop: Loop, pair: Pair) -> None:
    near, far = pair
    got: list[bytes] = []
    loop.add(near.fileno(), READABLE, lambda: got.append(near.recv(1)))
    far.sendall(b"ab")
    loop.step(SETTLE)
    loop.step(SETTLE)
    loop.step(0)
    assert got == [b"a", b"b"]


def test_a_hang_up_is_no_data_and_data_no_hang_up(loop: Loop, pair: Pair) -> None:
    near, far = pair
    calls: list[str] = []
    loop.add(near.fileno(), HUNG_UP, lambda: calls.append("gone"))
    far.sendall(b"data")
    loop.step(0)
    assert calls == []
    far.shutdown(socket.SHUT_WR)
    loop.step(SETTLE)
    assert calls == ["gone"]


def test_an_event_of_who_had_a_number_before_is_not_its_next_owners(loop: Loop) -> None:
    """A step may have one of a connection that was closed earlier in it."""
    near, far = zip(*(socket.socketpair() for _ in range(2)), strict=True)
    one, other = (end.fileno() for end in near)
    calls: list[str] = []

    def gives_away(own: int, number: int) -> None:
        calls.append("first")
        loop.remove(own)
        loop.remove(number)
        loop.add(number, READABLE, lambda: calls.append("next owner"))

    loop.add(one, READABLE, lambda: gives_away(one, other))
    loop.add(other, READABLE, lambda: gives_away(other, one))
    for end in far:
        end.sendall(b"!")
    loop.step(SETTLE)
    assert calls == ["first"]
    loop.step(SETTLE)
    assert "next owner" in calls  # what is true of it is told in the next step
    for end in (*near, *far):
        loop.remove(end.fileno())
        end.close()


def test_a_removed_descriptor_is_silent_and_may_be_removed_twice(loop: Loop, pair: Pair) -> None:
    near, far = pair
    loop.add(near.fileno(), READABLE, lambda: pytest.fail("called"))
    loop.remove(near.fileno())
    loop.remove(near.fileno())
    far.sendall(b"x")
    loop.step(0)


def test_a_callback_may_remove_another_whose_event_is_due(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[int] = []

    def first_come(this: int) -> None:
        called.append(this)
        for near, _ in pairs:
            loop.remove(near.fileno())

    for index, (near, far) in enumerate(pairs):
        loop.add(near.fileno(), READABLE, lambda index=index: first_come(index))  # type: ignore[misc]
        far.sendall(b"x")
    loop.step(SETTLE)
    assert len(called) == 1
    for sock in (sock for both in pairs for sock in both):
        sock.close()


def test_a_file_cannot_be_watched_and_leaves_no_trace(loop: Loop) -> None:
    with open(__file__) as file:
        with pytest.raises(PermissionError):
            loop.add(file.fileno(), READABLE, lambda: None)
        loop.remove(file.fileno())


def test_calls_of_other_threads_run_here_in_their_order(loop: Loop) -> None:
    ran: list[tuple[int, int]] = []

    def ask() -> None:
        for at in range(100):
            loop.call(lambda at=at: ran.append((at, threading.get_ident())))  # type: ignore[misc]

    thread = threading.Thread(target=ask)
    thread.start()
    deadline = time.monotonic() + SETTLE
    while len(ran) < 100:
        assert time.monotonic() < deadline
        loop.step(0.01)
    thread.join()
    assert ran == [(at, threading.get_ident()) for at in range(100)]


def test_a_call_ends_a_step_that_waits(loop: Loop) -> None:
    begun = time.monotonic()
    waker = threading.Timer(0.02, loop.wake)
    waker.start()
    loop.step(SETTLE)
    waker.join()
    assert time.monotonic() - begun < SETTLE


def test_a_call_after_the_end_is_ignored() -> None:
    with no_descriptor_left():
        loop = Loop()
        loop.close()
        loop.call(lambda: pytest.fail("called"))
        loop.wake()


def test_each_step_is_told_of(loop: Loop) -> None:
    turned: list[None] = []
    loop.turned = lambda: turned.append(None)
    loop.step(0)
    loop.wake()
    loop.step(SETTLE)
    assert len(turned) == 2
