"""flows.outbox: who may read on, and who waits."""

from __future__ import annotations

import threading

import pytest

from ramferry.flows.gate import Unwind
from ramferry.flows.outbox import Outbox


def admitted(outbox: Outbox, size: int, workers: int) -> threading.Thread:
    """A thread that asks to read; it ends when it was admitted or unwound."""

    def ask() -> None:
        try:
            outbox.admit(size, workers)
        except Unwind:
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread


def test_without_a_limit_everybody_reads() -> None:
    outbox = Outbox()
    for _ in range(100):
        outbox.admit(512 * 1024, workers=1)
    assert outbox.held == 100 * 512 * 1024


def test_a_full_queue_holds_the_next_reader_while_another_is_at_work() -> None:
    outbox = Outbox()
    outbox.limit(1000)
    outbox.admit(1500, workers=1)
    waiting = admitted(outbox, 700, workers=1)
    waiting.join(0.05)
    assert waiting.is_alive()
    outbox.ready(1500, 1200)  # nobody is at work any more: one may be, whatever is held
    waiting.join(5)
    assert not waiting.is_alive()
    outbox.ready(700, 700)
    outbox.sent(1200)
    assert outbox.held == 700


def test_cores_are_kept_at_work_beyond_the_limit() -> None:
    outbox = Outbox()
    outbox.limit(1)
    for _ in range(4):
        outbox.admit(1000, workers=4)
    fifth = admitted(outbox, 1000, workers=4)
    fifth.join(0.05)
    assert fifth.is_alive()
    outbox.ready(1000, 300)
    fifth.join(5)
    assert not fifth.is_alive()


def test_what_is_held_follows_the_real_size() -> None:
    outbox = Outbox()
    outbox.admit(1000, workers=1)
    outbox.ready(1000, 300)
    assert outbox.held == 300
    outbox.sent(300)
    assert outbox.held == 0


def test_a_raised_limit_lets_waiters_in() -> None:
    outbox = Outbox()
    outbox.limit(10)
    outbox.admit(20, workers=1)
    waiting = admitted(outbox, 5, workers=1)
    outbox.limit(100)
    waiting.join(5)
    assert not waiting.is_alive()


def test_the_end_unwinds_waiters_and_everybody_after() -> None:
    outbox = Outbox()
    outbox.limit(10)
    outbox.admit(20, workers=1)
    waiting = admitted(outbox, 5, workers=1)
    outbox.end()
    waiting.join(5)
    assert not waiting.is_alive()
    with pytest.raises(Unwind):
        outbox.admit(5, workers=1)
