"""What is seen when something happens between two relays in the switchover: at most one guest runs,
and it is the right one. The same for multifd and for plain streams."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from answering import SECONDS, Place, Stage, gone
from migrating import until

DECIDE = 3.0
STANDS = "finish-migrate"
"""How a source's guest stands still."""

Staged = Callable[..., AbstractContextManager[Stage]]
"""Makes a stage of two guests of a kind, struck at a place."""


def an_answer_is_asked_for(on: Stage) -> None:
    on.begin()
    on.sees("postmigrate", "running")
    assert on.near.wait() == 0, on.near.said
    assert on.far.wait() == 0, on.far.said
    assert on.near.result["completed"]
    on.never_both()


def it_is_not_taken(on: Stage, place: Place) -> None:
    on.begin()
    on.sees("running", "gone")
    # the exit code is that of the cause
    assert on.near.wait() == (7 if place == "damaged end" else 5), on.near.said
    assert "the destination has not taken the guest over" in on.near.said
    assert on.far.wait() in (5, 7), on.far.said
    on.never_both()


def one_guest_is_left(on: Stage) -> None:
    on.begin()
    code = on.near.wait()
    if code == 0:  # all of it had come in time
        on.sees("postmigrate", "running")
    else:
        assert code == 5, on.near.said
        on.sees("running", "gone")
    on.far.wait()
    on.never_both()


def undecided(on: Stage) -> int:
    """See the source's relay give up with the sentence; the process that holds the source."""
    assert on.near.wait() == 9, on.near.said
    assert "see with `info status` whether the destination runs it" in on.near.said
    held = on.near.holder()
    assert not gone(held)
    return held


def quit_ends_it(on: Stage, held: int, destination: str = "running") -> None:
    """Decide by hand that the destination has the guest: the holder ends with its source."""
    on.tell("quit")
    until("the holder's end", lambda: gone(held), SECONDS)
    on.sees("gone", destination)


def a_link_stays_down(on: Stage) -> None:
    on.begin()
    held = undecided(on)
    on.sees(STANDS, "running")
    quit_ends_it(on, held)
    assert on.far.wait() == 0
    assert "has not asked how its switchover ended" in on.far.said
    assert "the guest was taken over here" in on.far.said


def a_link_comes_back(on: Stage) -> None:
    on.begin()
    on.sees(STANDS, "running")
    on.a_while()
    assert on.guard.states == (STANDS, "running")
    on.proxy.heal()
    on.sees("postmigrate", "running")
    assert on.near.wait() == 0, on.near.said
    assert on.far.wait() == 0, on.far.said


def kill_near(on: Stage) -> None:
    on.near.kill()
    on.near.wait()


def an_heir_tells_the_source(on: Stage) -> None:
    on.begin()
    on.sees("postmigrate", "running")
    until("a word of it", lambda: "and the source was told" in on.near.said, SECONDS)
    assert on.far.wait() == 0, on.far.said


def an_heir_lets_the_source_go_on(on: Stage) -> None:
    on.begin()
    on.sees("running", "gone")
    until("a word of it", lambda: "it goes on at the source" in on.near.said, SECONDS)
    on.far.wait()


def the_far_relay_is_killed(staged: Staged, kind: str, place: Place) -> None:
    with staged(kind, place, decide=DECIDE, strike=lambda on: on.far.kill()) as on:
        on.begin()
        undecided(on)
        on.sees(STANDS, "running" if place == "before answer" else "gone")
        on.tell("quit")
        on.sees("gone", "running" if place == "before answer" else "gone")


def both_relays_are_killed(staged: Staged, kind: str) -> None:
    def strike(on: Stage) -> None:
        on.far.kill()
        kill_near(on)

    with staged(kind, "before answer", decide=DECIDE, strike=strike) as on:
        on.begin()
        until("a word of it", lambda: "the relay was ended in the switchover" in on.near.said, 30)
        assert "see with `info status` whether the destination runs it" in on.near.said
        on.sees(STANDS, "running")
        quit_ends_it(on, on.near.holder())


def the_far_relay_stands_still(staged: Staged, kind: str, place: Place) -> None:
    with staged(kind, place, strike=lambda on: on.far.kill(signal.SIGSTOP)) as on:
        on.begin()
        begun = time.monotonic()
        until("a while", lambda: time.monotonic() > begun + 6, SECONDS)
        on.far.kill(signal.SIGCONT)
        on.sees("postmigrate", "running")
        assert on.near.wait() == 0, on.near.said
        assert on.far.wait() == 0, on.far.said


def a_second_signal(on: Stage) -> None:
    on.begin()
    on.sees(STANDS, "running")
    on.near.kill(signal.SIGTERM)
    until("a word of it", lambda: "leave it undecided" in on.near.said, SECONDS)
    on.near.kill(signal.SIGTERM)
    held = undecided(on)
    on.far.kill(signal.SIGTERM)
    assert on.far.wait() == 0
    assert "the guest was taken over here" in on.far.said
    assert on.guard.states == (STANDS, "running")
    quit_ends_it(on, held)
