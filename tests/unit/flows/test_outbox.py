"""flows.outbox: who may read on, and who waits."""

from __future__ import annotations

import threading

import pytest

from ramferry.flows.outlet.outbox import Outbox, Slot
from ramferry.flows.session.gate import Unwind


def slot(outbox: Outbox, size: int, workers: int) -> Slot:
    """A channel's place, with a packet of so many bytes admitted."""
    made = outbox.slot()
    made.workers = workers
    made.admit(size)
    return made


def admitted(outbox: Outbox, size: int, workers: int) -> threading.Thread:
    """A thread that asks to read; it ends when it was admitted or unwound."""

    def ask() -> None:
        try:
            slot(outbox, size, workers)
        except Unwind:
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread


def test_without_a_limit_everybody_reads() -> None:
    outbox = Outbox()
    for _ in range(100):
        slot(outbox, 512 * 1024, workers=1)
    assert outbox.held == 100 * 512 * 1024


def test_a_full_queue_holds_the_next_reader_while_another_is_at_work() -> None:
    outbox = Outbox()
    outbox.limit(1000)
    first = slot(outbox, 1500, workers=1)
    waiting = admitted(outbox, 700, workers=1)
    waiting.join(0.05)
    assert waiting.is_alive()
    first.ready(1200)  # nobody is at work any more: one may be, whatever is held
    waiting.join(5)
    assert not waiting.is_alive()
    first.sent()
    assert outbox.held == 700


def test_cores_are_kept_at_work_beyond_the_limit() -> None:
    outbox = Outbox()
    outbox.limit(1)
    first, *_ = (slot(outbox, 1000, workers=4) for _ in range(4))
    fifth = admitted(outbox, 1000, workers=4)
    fifth.join(0.05)
    assert fifth.is_alive()
    first.ready(300)
    fifth.join(5)
    assert not fifth.is_alive()


def test_what_has_left_lets_a_reader_in_too() -> None:
    outbox = Outbox()
    outbox.limit(1000)
    first, second = slot(outbox, 600, workers=1), slot(outbox, 600, workers=1)
    first.ready(600)
    waiting = admitted(outbox, 100, workers=1)
    waiting.join(0.05)
    assert waiting.is_alive()
    first.sent()
    waiting.join(5)
    assert not waiting.is_alive()
    second.ready(600)


def test_what_is_held_follows_the_real_size() -> None:
    outbox = Outbox()
    only = slot(outbox, 1000, workers=1)
    only.ready(300)
    assert outbox.held == 300
    only.sent()
    assert outbox.held == 0


def test_the_next_packet_is_expected_to_grow_as_the_last_one_did() -> None:
    outbox = Outbox()
    only = slot(outbox, 1000, workers=1)
    only.ready(300)
    only.sent()
    only.admit(2000)
    assert outbox.held == 600


def test_a_raised_limit_lets_waiters_in() -> None:
    outbox = Outbox()
    outbox.limit(10)
    slot(outbox, 20, workers=1)
    waiting = admitted(outbox, 5, workers=1)
    outbox.limit(100)
    waiting.join(5)
    assert not waiting.is_alive()


def test_the_end_unwinds_waiters_and_everybody_after() -> None:
    outbox = Outbox()
    outbox.limit(10)
    slot(outbox, 20, workers=1)
    waiting = admitted(outbox, 5, workers=1)
    outbox.end()
    waiting.join(5)
    assert not waiting.is_alive()
    with pytest.raises(Unwind):
        slot(outbox, 5, workers=1)
