"""The order in which streams that say nothing go onward."""

from __future__ import annotations

import threading

import pytest

from fakes_relay import until
from ramferry.flows.session.gate import Unwind
from ramferry.flows.session.turns import Turn, Turns


def no_fault() -> None:
    pass


def test_who_is_first_goes_at_once() -> None:
    Turn().wait(no_fault)
    Turns().take().wait(no_fault)


def test_each_goes_once_the_one_before_has_gone() -> None:
    turns, gone = Turns(), []
    order = [turns.take() for _ in range(3)]

    def go(nth: int) -> None:
        order[nth].wait(no_fault)
        gone.append(nth)

    threads = [threading.Thread(target=go, args=(nth,)) for nth in (2, 1)]
    for thread in threads:
        thread.start()
    order[0].past()
    until(lambda: gone == [1])
    order[1].past()
    until(lambda: gone == [1, 2])
    for thread in threads:
        thread.join()


def test_who_fails_while_it_waits_waits_no_more() -> None:
    turns = Turns()
    turns.take()

    def failed() -> None:
        raise Unwind

    with pytest.raises(Unwind):
        turns.take().wait(failed)
