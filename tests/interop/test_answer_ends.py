"""The answer is never guessed where a built-in guest speaks ``relay:`` by itself: at either end, or
at both. Whatever happens in the switchover, at most one guest runs, and it is the right one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from answering import SECONDS, Place, Stage, gone
from guests import MEMORY, beats
from migrating import ENDED, until

from ramferry.bench.builtin import BuiltIn

pytestmark = pytest.mark.interop

WAYS = {"guest-relay": ("far",), "relay-guest": ("near",), "guest-guest": ()}
"""The relays of each way from a source to a destination."""
FROM_GUESTS = ("guest-relay", "guest-guest")
TAKEN: tuple[Place, ...] = ("before answer", "half answer", "damaged answer")
NOT_TAKEN: tuple[Place, ...] = ("before end", "half end", "damaged end")
STANDS = {"guest-relay": "paused", "relay-guest": "finish-migrate", "guest-guest": "paused"}
"""How a source's guest stands still once nobody knows."""
DECIDE = 3.0
PATIENT = 20.0
AT_ONCE = 12.0
"""Far below PATIENT, and time for a process to end also where others are at work."""


@contextmanager
def staged(way: str, place: Place, decide: float = PATIENT, **how: Any) -> Iterator[Stage]:
    work = ("--workload", "random", "--rate", "1M", "--decide", str(decide))
    with (
        BuiltIn(MEMORY, work) as source,
        BuiltIn(MEMORY, ("--incoming", "defer", "--decide", str(decide))) as destination,
        Stage(source, destination, place, decide=decide, relays=WAYS[way], **how) as on,
    ):
        yield on


def ends_well(on: Stage) -> None:
    """See that relays have ended, and as those do whose migration completed."""
    assert [one.wait() for one in on.relays] == [0] * len(on.relays), [o.said for o in on.relays]


def why(on: Stage) -> str:
    """Why the migration failed, as a source that speaks ``relay:`` says it.

    Like a QEMU, it lets its guest go on, or stand still, before it says how the migration ended.
    """
    until(
        "the migration's end",
        lambda: on.guard.tell(on.source, "query-migrate")["status"] in ENDED,
        SECONDS,
    )
    answer = on.guard.tell(on.source, "query-migrate")
    assert answer["status"] == "failed", answer
    return str(answer["error-desc"])


def lives(guest: Any) -> None:
    before = beats(guest)
    until("life", lambda: beats(guest) > before, SECONDS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", TAKEN)
def test_an_answer_that_is_lost_is_asked_for(way: str, place: Place) -> None:
    with staged(way, place) as on:
        on.begin()
        on.sees("postmigrate", "running")
        lives(on.destination)
        ends_well(on)
        on.never_both()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", NOT_TAKEN)
def test_a_destination_that_did_not_get_all_has_not_taken_it(way: str, place: Place) -> None:
    with staged(way, place) as on:
        on.begin()
        on.sees("running", "gone")
        lives(on.source)
        assert all(one.wait() in (5, 7) for one in on.relays), [one.said for one in on.relays]
        on.never_both()


@pytest.mark.parametrize("way", FROM_GUESTS)
@pytest.mark.parametrize("place", ["before tail", "half tail"])
def test_a_device_state_that_did_not_come_is_known_not_to_have(way: str, place: Place) -> None:
    with staged(way, place) as on:
        on.begin()
        on.sees("running", "gone")
        assert why(on).startswith("the destination has not taken the guest over: ")
        assert "may run it" not in why(on)
        lives(on.source)
        on.never_both()


@pytest.mark.parametrize("way", WAYS)
def test_a_link_that_stays_down_leaves_the_source_standing_and_quit_ends_it(way: str) -> None:
    with staged(way, "before answer", DECIDE, lasting=True) as on:
        on.begin()
        if way in FROM_GUESTS:
            on.sees(STANDS[way], "running")
            assert "the far end did not say within 3 s whether the destination has it" in why(on)
            assert "if so, `quit` here; if not, end the destination, and then `cont`" in why(on)
        else:
            assert on.near.wait() == 9, on.near.said
            held = on.near.holder()
        on.sees(STANDS[way], "running")
        on.tell("quit")
        on.sees("gone", "running")
        if way not in FROM_GUESTS:
            until("the holder's end", lambda: gone(held), SECONDS)
        lives(on.destination)


@pytest.mark.parametrize("way", FROM_GUESTS)
def test_a_link_that_stays_down_leaves_the_source_standing_and_cont_lets_it_go_on(
    way: str,
) -> None:
    with staged(way, "before tail", DECIDE, lasting=True) as on:
        on.begin()
        on.sees("paused", "gone")
        assert "did not say within 3 s" in why(on)
        on.tell("cont")
        on.sees("running", "gone")
        lives(on.source)


@pytest.mark.parametrize("way", WAYS)
def test_a_link_that_comes_back_brings_the_answer(way: str) -> None:
    with staged(way, "before answer", lasting=True) as on:
        on.begin()
        on.sees("finish-migrate", "running")
        on.a_while()
        assert on.guard.states == ("finish-migrate", "running")
        on.proxy.heal()
        on.sees("postmigrate", "running")
        ends_well(on)


@pytest.mark.parametrize("way", FROM_GUESTS)
def test_a_link_that_comes_back_lets_the_source_go_on(way: str) -> None:
    with staged(way, "before tail", lasting=True) as on:
        on.begin()
        on.a_while()
        # a destination that did not get it waits for a source that asks, and runs nothing
        assert on.guard.states[0] == "finish-migrate"
        on.proxy.heal()
        on.sees("running", "gone")
        lives(on.source)


def test_a_destination_that_keeps_its_outcome_ends_at_once_with_quit() -> None:
    with staged("guest-guest", "before answer", lasting=True) as on:
        on.begin()
        on.sees("finish-migrate", "running")
        on.guard.tell(on.destination, "quit")
        on.sees("finish-migrate", "gone", AT_ONCE)
