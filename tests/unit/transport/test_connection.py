"""The contract of every connection: the kernel's over UNIX and TCP, and two forms in memory."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connecting import (
    FORMS,
    SETTLE,
    TUNNEL,
    WINDOWED,
    WRAPPED,
    Aside,
    Pair,
    begun,
    come,
    fill,
    joined,
    read_to_end,
    taken,
    until,
)
from ramferry.errors import PeerTimeout
from ramferry.vocabulary import Buffer

STALL = 0.15


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pair(form: str) -> Iterator[Pair]:
    with joined(form) as ends:
        yield ends


@pytest.fixture
def unsettled(form: str) -> Iterator[Pair]:
    """As they come from connecting and accepting."""
    if form == TUNNEL:
        pytest.skip("a tunnel's connections are settled when it is started")
    near, far = FORMS[form]()
    with contextlib.closing(near), contextlib.closing(far):
        yield near, far


def test_it_is_windowed_where_a_network_lies_between(form: str, pair: Pair) -> None:
    for end in pair:
        assert end.windowed == (form in WINDOWED)


# --- receiving


def test_receive_fills_the_view_however_the_bytes_come(pair: Pair) -> None:
    near, far = pair
    data = os.urandom(10_000)

    def drip() -> None:
        for at in range(0, len(data), 777):
            far.send([data[at : at + 777]])

    view = memoryview(bytearray(len(data)))
    sender = Aside(drip)
    assert near.receive(view) == len(data)
    sender.result()
    assert view == data


def test_receive_takes_no_byte_beyond_the_view(pair: Pair) -> None:
    near, far = pair
    far.send([b"abcdef"])
    assert taken(near, 4) == b"abcd"
    assert taken(near, 2) == b"ef"


def test_receive_returns_what_came_before_the_end(pair: Pair) -> None:
    near, far = pair
    far.send([b"abc"])
    far.finish()
    far.close()
    view = memoryview(bytearray(8))
    assert near.receive(view) == 3
    assert bytes(view[:3]) == b"abc"
    assert near.receive(view) == 0


def test_an_empty_view_needs_no_bytes(pair: Pair) -> None:
    assert pair[0].receive(memoryview(bytearray())) == 0


def test_receive_keeps_what_came_with_the_least(pair: Pair) -> None:
    near, far = pair
    far.send([b"abcdef"])
    until(lambda: come(near, 6))
    view = memoryview(bytearray(10))
    assert near.receive(view, 4) == 6
    assert bytes(view[:6]) == b"abcdef"


def test_receive_waits_for_the_least_and_not_for_a_full_view(pair: Pair) -> None:
    near, far = pair
    view = memoryview(bytearray(10))
    far.send([b"abc"])
    receiver = Aside(lambda: near.receive(view, 4))
    until(lambda: near.unread() == 0)
    assert receiver.is_alive()
    far.send([b"de"])
    assert receiver.result() == 5
    assert bytes(view[:5]) == b"abcde"


def test_what_came_with_the_least_never_passes_the_view(pair: Pair) -> None:
    near, far = pair
    far.send([b"abcdefgh"])
    until(lambda: come(near, 8))
    view = memoryview(bytearray(8))
    assert near.receive(view[:5], 2) == 5
    assert bytes(view) == b"abcde\0\0\0"
    assert taken(near, 3) == b"fgh"


def test_the_end_before_the_least_returns_what_came(pair: Pair) -> None:
    near, far = pair
    far.send([b"abc"])
    far.finish()
    view = memoryview(bytearray(8))
    assert near.receive(view, 5) == 3
    assert near.receive(view, 5) == 0


def test_at_least_nothing_is_there_already(pair: Pair) -> None:
    assert pair[0].receive(memoryview(bytearray(8)), 0) == 0


def test_receive_some_returns_what_there_is(pair: Pair) -> None:
    near, far = pair
    view = memoryview(bytearray(8))
    receiver = Aside(lambda: near.receive_some(view))
    far.send([b"abc"])
    assert receiver.result() == 3
    assert bytes(view[:3]) == b"abc"
    far.send([bytes(20)])
    until(lambda: come(near, 20))
    assert near.receive_some(view) == 8
    assert near.unread() == 12


def test_receive_some_is_0_at_the_end_and_stays_so(pair: Pair) -> None:
    near, far = pair
    far.send([b"abc"])
    far.finish()
    view = memoryview(bytearray(8))
    assert [near.receive_some(view) for _ in range(3)] == [3, 0, 0]


def test_receive_some_of_one_that_is_not_settled_does_not_wait(unsettled: Pair) -> None:
    near, far = unsettled
    view = memoryview(bytearray(8))
    for whole in (False, True):
        # aside, because one that waits would wait for ever
        receiver = Aside(lambda whole=whole: far.receive_some(view, whole=whole))  # type: ignore[misc]
        assert receiver.result() is None
    near.send([b"abc"])
    until(lambda: come(far, 3))
    assert far.receive_some(view) == 3
    near.finish()
    until(far.hung_up)
    assert far.receive_some(view) == 0


def test_receive_some_that_is_settled_waits_for_the_stall_limit(pair: Pair) -> None:
    near, _ = pair
    near.settle(STALL)
    begun = time.monotonic()
    assert near.receive_some(memoryview(bytearray(8))) is None
    assert time.monotonic() - begun > STALL * 0.9


@pytest.mark.parametrize("whole", [False, True])
def test_receive_some_comes_back_after_a_piece_of_the_limit(pair: Pair, whole: bool) -> None:
    near, _ = pair
    near.settle(SETTLE * 4, piece=STALL)
    begun = time.monotonic()
    assert near.receive_some(memoryview(bytearray(8)), whole=whole) is None
    assert STALL * 0.9 < time.monotonic() - begun < SETTLE


def test_receive_some_of_a_whole_view_waits_for_all_of_it(pair: Pair) -> None:
    near, far = pair
    view = memoryview(bytearray(6))
    far.send([b"abc"])
    receiver = Aside(lambda: near.receive_some(view, whole=True))
    until(lambda: near.unread() == 0)
    assert receiver.is_alive()
    far.send([b"defgh"])
    assert receiver.result() == 6
    assert bytes(view) == b"abcdef"
    assert taken(near, 2) == b"gh"


def test_receive_some_of_a_whole_view_larger_than_what_is_held(pair: Pair) -> None:
    near, far = pair
    data = os.urandom(16 << 20)
    sender = Aside(lambda: far.send([data]))
    view = memoryview(bytearray(len(data)))
    filled = 0
    while filled < len(view):
        count = near.receive_some(view[filled:], whole=True)
        assert count
        filled += count
    assert sender.result() == len(data)
    assert view == data


def test_receive_some_of_a_whole_view_keeps_what_came_in_a_piece(pair: Pair) -> None:
    near, far = pair
    near.settle(SETTLE, piece=STALL)
    far.send([b"abc"])
    until(lambda: come(near, 3))
    view = memoryview(bytearray(6))
    assert near.receive_some(view, whole=True) == 3
    assert bytes(view[:3]) == b"abc"


def test_receive_some_of_a_whole_view_ends_with_the_stream(pair: Pair) -> None:
    near, far = pair
    far.send([b"abc"])
    far.finish()
    view = memoryview(bytearray(6))
    assert near.receive_some(view, whole=True) == 3
    assert near.receive_some(view, whole=True) == 0


def test_what_has_come_and_was_not_received(pair: Pair) -> None:
    near, far = pair
    assert near.unread() == 0
    far.send([b"seven.."])
    until(lambda: come(near, 7))
    taken(near, 3)
    assert near.unread() == 4


def test_when_the_last_bytes_came(pair: Pair) -> None:
    near, far = pair
    before = time.monotonic()
    far.send([b"x"])
    until(lambda: come(near, 1))
    heard = near.heard_at()
    assert before - 0.05 < heard < time.monotonic() + 0.05
    until(lambda: time.monotonic() > before + 0.2)
    later = heard if near.windowed else time.monotonic()
    assert near.heard_at() == pytest.approx(later, abs=0.05)


# --- sending


@pytest.mark.parametrize("form", FORMS)
@given(
    sizes=st.lists(st.integers(0, 5000), max_size=40),
    kinds=st.lists(st.sampled_from([bytes, bytearray, memoryview]), min_size=1, max_size=5),
)
def test_send_sends_every_part_in_order_through_tiny_buffers(
    form: str, sizes: list[int], kinds: list[Callable[[bytes], Buffer]]
) -> None:
    with joined(form) as (near, far):
        # the smallest the kernel allows: most sends are partial, and end inside a part
        near.set_buffers(send=4608)
        plain = [os.urandom(size) for size in sizes]
        parts = [kinds[at % len(kinds)](part) for at, part in enumerate(plain)]
        whole = b"".join(plain)
        got = memoryview(bytearray(len(whole)))
        reader = Aside(lambda: far.receive(got))
        assert near.send(parts) == len(whole)
        assert reader.result() == len(whole)
        assert got == whole
        assert parts == plain


def test_send_over_more_parts_than_one_call_takes(pair: Pair) -> None:
    near, far = pair
    parts: list[Buffer] = [bytes([at % 251]) for at in range(os.sysconf("SC_IOV_MAX") + 5)]
    assert near.send(parts) == len(parts)
    assert taken(far, len(parts)) == b"".join(parts)


def test_both_ends_send_and_receive_at_once(pair: Pair) -> None:
    data = [os.urandom(4 << 20) for _ in pair]
    senders = [
        Aside(lambda end=end, part=part: end.send([part]))  # type: ignore[misc]
        for end, part in zip(pair, data, strict=True)
    ]
    receivers = [Aside(lambda end=end: taken(end, 4 << 20)) for end in pair]  # type: ignore[misc]
    assert [one.result() for one in senders] == [4 << 20] * 2
    assert [one.result() for one in receivers] == data[::-1]


def test_send_some_sends_what_the_peer_takes(pair: Pair) -> None:
    near, far = pair
    near.settle(STALL)
    data = os.urandom(16 << 20)
    sent = near.send_some(data)
    assert 0 < sent < len(data)
    assert taken(far, sent) == data[:sent]


def test_send_some_is_0_where_the_peer_takes_nothing_for_the_stall_limit(pair: Pair) -> None:
    near, _ = pair
    fill(near)
    near.settle(STALL)
    more, since = begun(near) + b"more", time.monotonic()
    assert near.send_some(more) == 0
    assert time.monotonic() - since > STALL * 0.9


def test_send_some_goes_on_once_the_peer_takes_more(pair: Pair) -> None:
    near, far = pair
    count = fill(near)
    more = begun(near) + b"more"
    sender = Aside(lambda: near.send_some(more))
    taken(far, count)
    assert sender.result() == len(more)
    assert taken(far, len(more)) == more


# --- silence


def test_silence_in_the_middle_is_a_timeout_that_counts_the_bytes(pair: Pair) -> None:
    near, far = pair
    near.settle(STALL)
    far.send([b"abc"])
    until(lambda: come(near, 3))
    with pytest.raises(PeerTimeout, match="after 3 of 8 bytes"):
        near.receive(memoryview(bytearray(8)))


def test_silence_counts_the_least_of_what_was_asked_for(pair: Pair) -> None:
    near, far = pair
    near.settle(STALL)
    far.send([b"abc"])
    until(lambda: come(near, 3))
    with pytest.raises(PeerTimeout, match="after 3 of 5 bytes"):
        near.receive(memoryview(bytearray(8)), 5)


def test_silence_is_told_after_a_piece_of_the_limit(pair: Pair) -> None:
    near, far = pair
    near.settle(SETTLE * 4, piece=STALL)
    far.send([b"abc"])
    until(lambda: come(near, 3))
    begun = time.monotonic()
    with pytest.raises(PeerTimeout, match="after 3 of 8 bytes"):
        near.receive(memoryview(bytearray(8)))
    assert time.monotonic() - begun < SETTLE


def test_silence_before_the_first_byte_is_a_timeout_unless_idle(pair: Pair) -> None:
    near, _ = pair
    near.settle(STALL)
    with pytest.raises(PeerTimeout, match="after 0 of 8 bytes"):
        near.receive(memoryview(bytearray(8)))


def test_an_idle_wait_outlasts_the_stall_limit(pair: Pair) -> None:
    near, far = pair
    near.settle(0.02)
    view = memoryview(bytearray(2))
    waiter = Aside(lambda: near.receive(view, idle=True))
    waiter.join(0.1)
    assert waiter.is_alive()
    far.send([b"ok"])
    assert waiter.result() == 2


def test_an_idle_wait_that_has_begun_to_receive_is_idle_no_more(pair: Pair) -> None:
    near, far = pair
    near.settle(STALL)
    far.send([b"o"])
    with pytest.raises(PeerTimeout, match="after 1 of 2 bytes"):
        near.receive(memoryview(bytearray(2)), idle=True)


def test_a_slow_peer_is_no_silent_one(form: str) -> None:
    """Longer than the limit in all, without a pause that is near it."""
    # a busy machine stretches a pause: then it counts for nothing, and comes again
    assert any(slow_peer(form) for _ in range(5))


def slow_peer(form: str) -> bool:
    """False where a pause came near the limit."""
    limit, pause, count = 1.0, 0.1, 12
    longest = 0.0

    def drip() -> None:
        nonlocal longest
        for _ in range(count):
            since = time.monotonic()
            threading.Event().wait(pause)
            far.send([b"x"])
            longest = max(longest, time.monotonic() - since)

    with joined(form) as (near, far):
        near.settle(limit)
        sender = Aside(drip)
        begun = time.monotonic()
        try:
            assert near.receive(memoryview(bytearray(count))) == count
            assert time.monotonic() - begun > limit
        except PeerTimeout:
            sender.result()
            if longest < limit / 2:
                raise
            return False
        sender.result()
    return True


def test_a_peer_that_takes_nothing_is_a_timeout(pair: Pair) -> None:
    near, _ = pair
    near.settle(STALL)
    with pytest.raises(PeerTimeout, match="takes no more bytes"):
        near.send([bytes(16 << 20)])


def test_a_shorter_wait_for_bytes_is_none_for_a_peer_that_takes_them(pair: Pair) -> None:
    near, far = pair
    count = fill(near)
    near.settle(SETTLE, piece=0.01)
    more = begun(near) + b"more"
    sender = Aside(lambda: near.send([more]))
    sender.join(STALL)
    assert sender.is_alive()
    taken(far, count)
    assert sender.result() == len(more)


# --- what is unsent, and what a path is like


@pytest.mark.parametrize("form", sorted(FORMS.keys() - {*WINDOWED, *WRAPPED}))
def test_unsent_is_zero_only_when_a_local_peer_has_read_everything(form: str) -> None:
    with joined(form) as (near, far):
        assert near.unsent() == 0
        near.send([b"abcd"])
        for _ in range(4):
            assert near.unsent() > 0
            taken(far, 1)
        assert near.unsent() == 0


@pytest.mark.parametrize("form", WINDOWED)
def test_unsent_counts_what_a_far_peer_has_not_acknowledged(form: str) -> None:
    with joined(form) as (near, far):
        near.send([b"small"])
        until(lambda: near.unsent() == 0)
        assert taken(far, 5) == b"small"
        near.set_buffers(send=64 << 10)
        count = fill(near)
        assert near.unsent() > 0
        rest = begun(near)
        sender = Aside(lambda: near.send([rest]))
        taken(far, count + len(rest))
        assert sender.result() == len(rest)
        until(lambda: near.unsent() == 0)


def test_the_round_trip_of_loopback_is_small_and_a_local_peer_has_none(pair: Pair) -> None:
    near, far = pair
    near.send([b"x"])
    assert taken(far, 1) == b"x"
    assert 0.0 <= near.round_trip() < 0.1
    assert (near.round_trip() == 0.0) == (not near.windowed)


def test_a_segment_is_what_a_network_carries_at_once(pair: Pair) -> None:
    near, _ = pair
    assert (near.segment() > 500) == near.windowed
    assert near.windowed or near.segment() == 0


def test_set_buffers_bounds_what_is_held(form: str) -> None:
    if form == TUNNEL:
        pytest.skip("a tunnel holds pieces beside its connections' buffers")
    with joined(form) as (near, far):
        near.set_buffers(send=32 << 10)
        far.set_buffers(receive=32 << 10)
        assert 0 < fill(near) <= 128 << 10
    with joined(form) as (near, far):
        near.set_buffers(send=1 << 20)
        far.set_buffers(receive=1 << 20)
        assert fill(near) > 128 << 10


def test_it_acknowledges_what_has_come(pair: Pair) -> None:
    near, far = pair
    near.send([b"mark"])
    until(lambda: come(far, 4))
    far.acknowledge()
    assert taken(far, 4) == b"mark"
    until(lambda: near.unsent() == 0)


# --- its descriptor


def test_its_descriptor_polls_for_bytes(form: str, pair: Pair) -> None:
    if form == TUNNEL:
        pytest.skip("a tunnel's threads take the bytes that come")
    near, far = pair
    with select.epoll() as epoll:
        epoll.register(near.fileno(), select.EPOLLIN)
        assert epoll.poll(0) == []
        sender = threading.Timer(0.05, far.send, [[b"abc"]])
        sender.start()
        assert epoll.poll(SETTLE) == [(near.fileno(), select.EPOLLIN)]
        sender.join()
        assert taken(near, 2) == b"ab"
        left = [(near.fileno(), select.EPOLLIN)]
        assert epoll.poll(0) == ([] if form in WRAPPED else left)
        assert near.unread() == 1
        assert taken(near, 1) == b"c"
        assert epoll.poll(0) == []
        far.finish()
        assert epoll.poll(SETTLE) == [(near.fileno(), select.EPOLLIN)]


@pytest.mark.parametrize("ending", ["finish", "cut", "reset", "close"])
def test_its_descriptor_polls_for_its_end(pair: Pair, ending: str) -> None:
    near, far = pair
    with select.epoll() as epoll:
        epoll.register(near.fileno(), select.EPOLLRDHUP)
        far.send([b"abc"])
        assert epoll.poll(0) == []
        ender = threading.Timer(0.05, getattr(far, ending))
        ender.start()
        (event,) = epoll.poll(SETTLE)
        # one whose connections were reset before its end was seen tells that alone
        assert event[1] & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR)
        ender.join()


def test_a_closed_one_has_no_descriptor(pair: Pair) -> None:
    for end in pair:
        descriptor = end.fileno()
        assert os.fstat(descriptor)
        end.close()
        assert end.fileno() == -1
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


# --- ends


def test_finish_delivers_everything_and_leaves_the_other_direction_open(pair: Pair) -> None:
    near, far = pair
    near.send([b"last"])
    near.finish()
    assert taken(far, 10) == b"last"
    far.send([b"answer"])
    assert taken(near, 6) == b"answer"
    with pytest.raises(BrokenPipeError):
        near.send([b"more"])


@pytest.mark.parametrize("ending", ["cut", "reset"])
def test_an_end_wakes_threads_that_receive_and_that_send(pair: Pair, ending: str) -> None:
    near, _ = pair
    near.settle(60)
    receiver = Aside(lambda: broken_or(lambda: near.receive(memoryview(bytearray(1)))))
    sender = Aside(lambda: broken_or(lambda: near.send([bytes(64 << 20)])))
    until(lambda: near.unsent() > 0)
    getattr(near, ending)()
    assert receiver.result() in (0, -1)
    assert sender.result() == -1


def test_a_reset_wakes_threads_of_the_peer(pair: Pair) -> None:
    near, far = pair
    far.settle(60)
    receiver = Aside(lambda: broken_or(lambda: far.receive(memoryview(bytearray(1)))))
    sender = Aside(lambda: broken_or(lambda: far.send([bytes(64 << 20)])))
    until(lambda: far.unsent() > 0)
    near.reset()
    assert receiver.result() in (0, -1)
    assert sender.result() == -1


def test_of_a_cut_a_far_peer_does_not_hear_under_a_full_window(form: str, pair: Pair) -> None:
    near, far = pair
    fill(far)
    near.cut()
    until(far.hung_up)
    far.settle(STALL)
    if near.windowed and form != TUNNEL:  # whose threads see the end of what they receive
        assert far.send_some(bytes(65536)) == 0
        near.reset()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        far.send([bytes(65536)])


def broken_or(move: Callable[[], int]) -> int:
    """What ``move`` returns; -1 where the connection broke."""
    try:
        return move()
    except OSError:
        return -1


def test_a_reset_ends_a_peer_whose_window_is_full(pair: Pair) -> None:
    near, far = pair
    count = fill(near)
    near.reset()
    assert broken_or(lambda: read_to_end(far)) <= count
    with pytest.raises(OSError, match="Broken pipe"):
        far.send([b"answer"])


def test_it_has_hung_up_once_its_peer_sends_no_more(pair: Pair) -> None:
    near, far = pair
    assert not near.hung_up()
    far.send([b"unread"])
    until(lambda: come(near, 6))
    assert not near.hung_up()
    near.finish()
    assert not near.hung_up()
    far.finish()
    until(near.hung_up)
    assert taken(near, 7) == b"unread"
    assert near.hung_up()


@pytest.mark.parametrize("ending", ["cut", "reset", "close"])
def test_it_has_hung_up_once_its_peer_ended_it(pair: Pair, ending: str) -> None:
    near, far = pair
    near.send([b"unread"])
    getattr(far, ending)()
    until(near.hung_up)


@pytest.mark.parametrize("ending", ["cut", "reset"])
def test_it_has_hung_up_once_it_was_ended(pair: Pair, ending: str) -> None:
    near, _ = pair
    getattr(near, ending)()
    until(near.hung_up)


def test_a_peer_that_closes_and_leaves_bytes_unread_breaks_the_connection(pair: Pair) -> None:
    near, far = pair
    near.send([b"unread"])
    far.send([b"before"])
    # a tunnel's workers may not have sent what it has taken, and a reset drops it
    until(lambda: come(far, 6) and come(near, 6))
    far.close()
    until(near.hung_up)
    assert taken(near, 6) == b"before"
    with pytest.raises(ConnectionResetError):
        taken(near, 1)
    with pytest.raises(BrokenPipeError):
        near.send([b"more"])


def test_every_end_may_come_twice_and_on_a_closed_peer(pair: Pair) -> None:
    near, far = pair
    far.close()
    for end in (near.finish, near.cut, near.reset) * 2:
        end()
    near.close()
    near.close()


@pytest.mark.parametrize("ending", ["finish", "cut", "reset", "close"])
def test_what_is_asked_of_one_whose_peer_has_left_is_answered(pair: Pair, ending: str) -> None:
    near, far = pair
    near.send([b"unread"])
    far.send([b"before"])
    until(lambda: come(near, 6) and come(far, 6))
    getattr(far, ending)()
    until(near.hung_up)
    near.settle(STALL)
    near.set_buffers(send=65536, receive=65536)
    near.acknowledge()
    # a tunnel counts what has come on its connections until that was read there
    until(lambda: near.unread() == 0 or come(near, 6))
    assert near.unsent() >= 0
    assert near.heard_at() <= time.monotonic()
    assert 0.0 <= near.round_trip() < 0.1
    assert near.segment() >= 0
