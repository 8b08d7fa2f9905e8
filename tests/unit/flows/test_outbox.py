"""flows.outbox: who may read on, and who waits."""

from __future__ import annotations

import random
import threading

import pytest

from patiently import SETTLE, until
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
    first.ready(1000)  # nobody is at work any more: one may be, though enough is held
    waiting.join(SETTLE)
    assert not waiting.is_alive()
    first.sent()
    assert outbox.held == 700


def test_while_too_much_waits_to_be_sent_nobody_reads() -> None:
    """Or each of many channels would come to hold a packet on a thin link, which is downtime."""
    outbox = Outbox()
    outbox.limit(1000)
    first = slot(outbox, 1500, workers=4)
    first.ready(1200)
    waiting = admitted(outbox, 700, workers=4)
    waiting.join(0.05)
    assert waiting.is_alive()
    first.sent()
    waiting.join(SETTLE)
    assert not waiting.is_alive()


def test_cores_are_kept_at_work_beyond_the_limit() -> None:
    outbox = Outbox()
    outbox.limit(1000)
    first, *_ = (slot(outbox, 1000, workers=4) for _ in range(4))
    fifth = admitted(outbox, 1000, workers=4)
    fifth.join(0.05)
    assert fifth.is_alive()
    first.ready(300)
    fifth.join(SETTLE)
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
    waiting.join(SETTLE)
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
    waiting.join(SETTLE)
    assert not waiting.is_alive()


def test_the_end_unwinds_waiters_and_everybody_after() -> None:
    outbox = Outbox()
    outbox.limit(10)
    slot(outbox, 20, workers=1)
    waiting = admitted(outbox, 5, workers=1)
    outbox.end()
    waiting.join(SETTLE)
    assert not waiting.is_alive()
    with pytest.raises(Unwind):
        slot(outbox, 5, workers=1)


# --- who is woken


class Reader(threading.Thread):
    """A channel that reads one packet: ``slot.admit``, and ``ready`` and ``sent`` when told."""

    def __init__(self, outbox: Outbox, size: int = 100) -> None:
        super().__init__(daemon=True)
        self.slot = outbox.slot()
        self.slot.workers = 1
        self.unwound = False
        self._size = size
        waiting = len(outbox.queue)
        self.start()
        until(lambda: len(outbox.queue) == waiting + 1)

    def run(self) -> None:
        try:
            self.slot.admit(self._size)
        except Unwind:
            self.unwound = True

    def ended(self) -> bool:
        self.join(SETTLE)
        return not self.is_alive()


def full(waiting: int) -> tuple[Outbox, Slot, list[Reader]]:
    """An outbox that holds a packet of 1000 bytes, which is at work, and readers that wait."""
    outbox = Outbox()
    outbox.limit(1000)
    return outbox, slot(outbox, 1000, workers=1), [Reader(outbox) for _ in range(waiting)]


def test_room_for_one_wakes_one_and_the_first_who_came() -> None:
    outbox, first, readers = full(8)
    first.ready(900)
    assert readers[0].ended()
    assert list(outbox.queue) == [one.slot for one in readers[1:]]
    assert all(one.is_alive() and one.slot.turn.locked() for one in readers[1:])
    readers[0].slot.ready(50)
    assert readers[1].ended()
    assert list(outbox.queue) == [one.slot for one in readers[2:]]
    outbox.end()


def test_what_leaves_no_room_wakes_nobody() -> None:
    outbox, first, readers = full(4)
    first.ready(1000)
    assert readers[0].ended()
    first.sent()  # 100 bytes are held
    assert all(one.ended() for one in readers[1:])
    for one in readers[:3]:
        one.slot.ready(500)
    late = Reader(outbox)
    readers[0].slot.sent()  # 1100 bytes are held, and a packet is at work
    assert list(outbox.queue) == [late.slot]
    assert late.is_alive()
    readers[1].slot.sent()
    assert late.ended()


def test_room_for_some_wakes_so_many() -> None:
    outbox, first, readers = full(8)
    first.ready(1000)
    outbox.limit(1350)  # 1100 are held: room for 3 more
    assert all(one.ended() for one in readers[:4])
    assert list(outbox.queue) == [one.slot for one in readers[4:]]
    assert (outbox.held, outbox.at_work) == (1400, 4)
    outbox.end()


def test_who_comes_later_does_not_overtake() -> None:
    outbox, first, (waiting,) = full(1)
    other = outbox.slot()
    other.workers = 99  # would have room
    asks = threading.Thread(target=other.admit, args=(100,), daemon=True)
    asks.start()
    until(lambda: len(outbox.queue) == 2)
    first.ready(1000)
    asks.join(SETTLE)
    assert waiting.ended()
    assert not asks.is_alive()


def test_the_end_wakes_everybody_who_waits_and_no_packet_goes_on() -> None:
    outbox, first, readers = full(8)
    outbox.end()
    assert all(one.ended() and one.unwound for one in readers)
    first.ready(10)
    first.sent()
    assert outbox.held == 0


def test_of_many_channels_under_a_limit_that_changes_nobody_is_forgotten() -> None:
    outbox, packets, sizes = Outbox(), 300, random.Random(14)
    outbox.limit(3000)

    def channel(seed: int) -> None:
        own, place = random.Random(seed), outbox.slot()
        place.workers = 2
        for _ in range(packets):
            place.admit(own.randrange(1, 2000))
            place.ready(own.randrange(1, 2000))
            place.sent()

    threads = [threading.Thread(target=channel, args=(seed,), daemon=True) for seed in range(16)]
    for thread in threads:
        thread.start()

    def all_ended() -> bool:
        outbox.limit(sizes.choice((0, 1, 3000, 20_000)))
        return not any(thread.is_alive() for thread in threads)

    until(all_ended, look=0.0005)
    assert (outbox.held, outbox.unsent, outbox.at_work, len(outbox.queue)) == (0, 0, 0, 0)
