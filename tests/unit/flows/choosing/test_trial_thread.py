"""Trials of candidates in a thread of their own, one packet at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from fakes_relay import until
from leftovers import threads
from ramferry.flows.choosing.encoders import Encoders
from ramferry.flows.choosing.trials import Trials
from ramferry.policy.figures import Tried
from ramferry.policy.measurements import Candidate, PageClass
from ramferry.vocabulary import AUTO

PAGES = memoryview(b"alpha beta gamma delta\n" * 4000)[: 16 * 4096]
KIND = PageClass.TEXT
YARDSTICK = Candidate("zstd", 1)


class House:
    """Says what is to be tried, and keeps what came of it."""

    def __init__(self, *wanted: Candidate) -> None:
        self.wanted = list(wanted)
        self.came: list[tuple[PageClass, int, list[Tried]]] = []
        self.nice: list[int] = []
        self.hold = threading.Event()
        self.hold.set()

    def next(self, _: PageClass) -> Candidate | None:
        self.hold.wait(10)
        self.nice.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return self.wanted.pop(0) if self.wanted else None

    def told(self, kind: PageClass, size: int, trials: Sequence[Tried]) -> None:
        self.came.append((kind, size, list(trials)))


@contextmanager
def trials(house: House) -> Iterator[Trials]:
    made = Trials(Encoders(4096, AUTO, AUTO), YARDSTICK, house.next, house.told, 4096)
    try:
        yield made
    finally:
        house.hold.set()
        made.close()
        assert not made.open


def test_a_packet_is_tried_by_several_and_their_costs_are_told() -> None:
    """The yardstick comes first, though nobody asked for it."""
    house = House(Candidate("qatzip", 1), Candidate("zstd", 3))
    with trials(house) as made:
        made.offer(KIND, PAGES)
        until(lambda: made.open)
        ((kind, size, came),) = house.came
        assert (kind, size) == (KIND, len(PAGES))
        names = [str(one.candidate) for one in came]
        assert names == ["zstd 1", "qatzip 1", "zstd 3"]
        for one in came:
            assert 0 < one.wire < size // 4
            assert one.encode > 0
            assert one.decode > 0
        assert made.count == 3
        assert made.seconds > 0
    assert set(house.nice) == {10}


@pytest.mark.parametrize("level", [1, 3])
def test_the_same_candidate_is_tried_once_on_a_packet(level: int) -> None:
    house = House(*[Candidate("zstd", level)] * 5)
    with trials(house) as made:
        made.offer(KIND, PAGES)
        until(lambda: made.open)
    ((_, _, came),) = house.came
    assert [one.candidate.level for one in came] == sorted({1, level})


def test_if_nothing_is_wanted_the_yardstick_is_not_either() -> None:
    house = House()
    with trials(house) as made:
        made.offer(KIND, PAGES)
        until(lambda: made.open)
        assert made.count == 0
    assert house.came == []


def test_while_one_is_tried_no_other_packet_is_copied() -> None:
    house = House(Candidate("zstd", 1))
    house.hold.clear()
    with trials(house) as made:
        made.offer(KIND, PAGES)
        assert not made.open
        made.offer(PageClass.BINARY, PAGES)
        house.hold.set()
        until(lambda: made.open)
    assert [kind for kind, *_ in house.came] == [KIND]


def test_none_is_taken_in_the_switchover() -> None:
    house = House(Candidate("zstd", 1), Candidate("zstd", 3))
    house.hold.clear()
    with trials(house) as made:
        made.offer(KIND, PAGES)
        made.pause(on=True)
        house.hold.set()
        until(lambda: len(house.came) == 1)
        made.offer(KIND, PAGES)
        assert not made.open
        made.pause(on=False)
        until(lambda: made.open)


def test_an_encoder_that_cannot_be_made_is_a_bad_choice() -> None:
    house = House(Candidate("no such method", 1))
    with trials(house) as made:
        made.offer(KIND, PAGES)
        until(lambda: made.open)
    ((_, size, came),) = house.came
    assert came[1:] == [Tried(Candidate("no such method", 1), size, 1.0, 1.0)]


def test_without_a_packet_there_is_no_thread() -> None:
    before = threads()
    with trials(House()):
        assert threads() <= before
