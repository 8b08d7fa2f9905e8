"""What tests that use connections in memory may rely on, beyond the contract of connections."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from connecting import SETTLE, fill, taken, until
from in_memory import InMemory, joined


@pytest.fixture(params=[False, True], ids=["local", "windowed"])
def windowed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def pair(windowed: bool) -> Iterator[tuple[InMemory, InMemory]]:
    near, far = joined(windowed=windowed, held=8)
    with contextlib.closing(near), contextlib.closing(far):
        near.settle(SETTLE)
        far.settle(SETTLE)
        yield near, far


def test_it_holds_what_it_was_made_to_hold(pair: tuple[InMemory, InMemory], windowed: bool) -> None:
    near, far = pair
    assert fill(near) == (16 if windowed else 8)
    assert far.unread() == 8
    assert near.unsent() == 8
    taken(far, 3)
    assert far.unread() == (8 if windowed else 5)
    assert near.unsent() == 5
    assert near.send_some(b"12345") == 3


def test_a_buffer_that_grows_is_used_at_once(pair: tuple[InMemory, InMemory]) -> None:
    near, far = pair
    fill(near)
    near.set_buffers(send=10)
    assert near.send_some(b"12345") == 2
    before = near.unsent()
    far.set_buffers(receive=10)
    assert near.unsent() == before - (2 if near.windowed else 0)


def test_a_reset_loses_what_the_peer_has_not_taken(
    pair: tuple[InMemory, InMemory], windowed: bool
) -> None:
    near, far = pair
    near.send([b"12345678"])
    if windowed:
        near.send([b"more"])
    far.send([b"lost"])
    near.reset()
    near.reset()
    assert far.unread() == (8 if windowed else 0)
    assert near.unread() == near.unsent() == 0
    assert taken(far, far.unread()) == (b"12345678" if windowed else b"")
    for end in pair:
        if windowed:  # told once, as the kernel tells it
            with pytest.raises(ConnectionResetError):
                end.receive_some(memoryview(bytearray(8)))
        assert end.receive_some(memoryview(bytearray(8))) == 0


def test_a_windowed_close_with_bytes_unread_is_a_reset(
    pair: tuple[InMemory, InMemory], windowed: bool
) -> None:
    near, far = pair
    near.send([b"unread"])
    count = fill(far)
    far.close()
    assert near.unread() == 8
    kept = 8 if windowed else count
    assert taken(near, kept) == bytes(kept)
    with pytest.raises(ConnectionResetError):
        taken(near, 1)


def test_it_tells_the_figures_that_it_was_made_with() -> None:
    for end in joined(windowed=True, round_trip=0.25, segment=9000):
        assert (end.round_trip(), end.segment()) == (0.25, 9000)
        end.close()


def test_an_end_that_nobody_closed_is_warned_of(recwarn: pytest.WarningsRecorder) -> None:
    one, other = joined()
    one.close()
    del one, other
    until(lambda: any(w.category is ResourceWarning for w in recwarn))
