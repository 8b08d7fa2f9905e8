"""Batches handed out: each once, ``done`` only when all are sent, and nobody waits for ever."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ramferry.flows.contracts import Batch, Pages
from ramferry.flows.outlet.handout import Handout

PATIENCE = 10.0


class Numbered:
    """A batch with a number; never loaded here."""

    def __init__(self, number: int) -> None:
        self.number = number

    def load(self, buffer: memoryview) -> Pages:
        raise NotImplementedError


class Channels:
    """Threads that take batches until there are no more."""

    def __init__(self, handout: Handout, count: int) -> None:
        self.taken: list[int] = []
        self.hold = threading.Event()
        self.hold.set()
        self._handout = handout
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while (batch := self._handout.next()) is not None:
            assert isinstance(batch, Numbered)
            self.hold.wait(PATIENCE)
            self.taken.append(batch.number)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def batches(count: int) -> Iterator[Batch]:
    return iter([Numbered(number) for number in range(count)])


@pytest.mark.parametrize("channels", [1, 3, 16])
def test_every_batch_is_taken_once_in_each_of_several_rounds(channels: int) -> None:
    handout = Handout()
    workers = Channels(handout, channels)
    for _ in range(20):
        handout.give(batches(50))
        assert handout.done(PATIENCE)
        assert sorted(workers.taken) == list(range(50))
        workers.taken.clear()
    handout.end()
    workers.join()


def test_a_batch_that_was_taken_and_not_sent_is_not_done() -> None:
    handout = Handout()
    workers = Channels(handout, 2)
    workers.hold.clear()
    handout.give(batches(1))
    assert not handout.done(0.05)
    workers.hold.set()
    assert handout.done(PATIENCE)
    handout.end()
    workers.join()


def test_a_round_of_nothing_is_done() -> None:
    handout = Handout()
    workers = Channels(handout, 2)
    handout.give(batches(0))
    assert handout.done(PATIENCE)
    handout.end()
    workers.join()


def test_what_is_dropped_is_handed_out_no_more() -> None:
    handout = Handout()
    handout.give(batches(1000))
    first = handout.next()
    assert isinstance(first, Numbered)
    handout.drop()
    handout.end()
    assert handout.next() is None
    assert handout.done(0)
    assert first.number == 0


def test_an_iterator_that_fails_is_over_and_says_so_once() -> None:
    def failing() -> Iterator[Batch]:
        yield Numbered(0)
        raise OSError("the disk is gone")

    handout = Handout()
    handout.give(failing())
    assert handout.next() is not None
    with pytest.raises(OSError, match="the disk is gone"):
        handout.next()
    assert handout.done(0)
