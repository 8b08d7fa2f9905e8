"""Whose a connection is, by order and origin, and who leaves where there are too many."""

from __future__ import annotations

import pytest

from ramferry.flows.inlet.calls import Call, may_follow, mother, one_too_many

A, B = "192.0.2.1", "192.0.2.2"


@pytest.mark.parametrize(
    ("call", "main", "silent", "follows"),
    [
        (Call(1, A), Call(0, A), [], True),
        (Call(0, A), Call(1, A), [], False),
        # a forwarder on the way gives a migration's connections different origins
        (Call(1, B), Call(0, A), [], True),
        # a second source has connected its main, and this is its channel
        (Call(2, B), Call(0, A), [Call(1, B)], False),
        (Call(1, B), Call(0, A), [Call(2, B)], True),
        # two of one host: nothing tells them apart but what they say
        (Call(2, A), Call(0, A), [Call(1, A)], True),
    ],
)
def test_whom_a_channel_may_follow(
    call: Call, main: Call, silent: list[Call], follows: bool
) -> None:
    assert may_follow(call, main, silent) is follows


def test_a_mother_is_the_last_that_its_maker_made_before_it() -> None:
    silent = [Call(0, A), Call(3, A), Call(2, A), Call(4, B), Call(9, A)]
    assert mother(Call(5, A), silent) == Call(3, A)
    assert mother(Call(0, A), silent) is None
    assert mother(Call(5, "192.0.2.3"), silent) is None


def leaves(waiting: list[Call], new: Call) -> Call | None:
    return one_too_many(waiting, lambda one: one, of_one=3, in_all=5, new=new)


def test_where_there_is_room_nobody_leaves() -> None:
    assert leaves([Call(0, A), Call(1, A), Call(2, B), Call(3, B)], Call(4, A)) is None


def test_above_its_own_bound_the_oldest_of_the_same_origin_leaves() -> None:
    assert leaves([Call(0, B), Call(1, A), Call(2, A), Call(3, A)], Call(4, A)) == Call(1, A)


def test_above_the_bound_of_all_the_oldest_of_the_largest_crowd_leaves() -> None:
    crowd = [Call(number, A) for number in (2, 1, 3)]
    assert leaves([Call(0, B), *crowd, Call(4, "C")], Call(5, "D")) == Call(1, A)
