"""The answer is never guessed for plain streams either: whatever happens between two relays in the
switchover, at most one guest runs, and it is the right one."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from answering import SECONDS, Place, Stage, gone
from guests import beats, ends
from migrating import until
from plain_answering import PieceCutter, ready

pytestmark = pytest.mark.interop

SLOW = pytest.mark.slow
KINDS = ("stock", "10.0")
MORE = ("stock", pytest.param("10.0", marks=SLOW))
DECIDE = 3.0
TAKEN = (
    "before answer",
    *(pytest.param(f"{how} answer", marks=SLOW) for how in ("half", "damaged")),
)
NOT_TAKEN = ("half end", *(pytest.param(f"{how} end", marks=SLOW) for how in ("before", "damaged")))
STANDS = "finish-migrate"
"""How a source's guest stands still."""

Staged = Callable[..., AbstractContextManager[Stage]]


@pytest.fixture
def staged(require_peer: Callable[[str], Path]) -> Staged:
    """Makes a stage of two guests of a kind, without multifd."""

    @contextmanager
    def made(kind: str, place: Place, **how: Any) -> Iterator[Stage]:
        with (
            ends(kind, require_peer) as (source, destination),
            Stage(source, destination, place, cutter=PieceCutter, ready=ready, **how) as on,
        ):
            yield on

    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", TAKEN)
def test_an_answer_that_is_lost_is_asked_for(staged: Staged, kind: str, place: Place) -> None:
    with staged(kind, place) as on:
        on.begin()
        on.sees("postmigrate", "running")
        assert on.near.wait() == 0, on.near.said
        assert on.far.wait() == 0, on.far.said
        assert on.near.result["completed"]
        assert on.near.result["kind"] == "plain"
        on.never_both()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", NOT_TAKEN)
def test_a_destination_that_did_not_get_all_has_not_taken_it(
    staged: Staged, kind: str, place: Place
) -> None:
    with staged(kind, place) as on:
        on.begin()
        on.sees("running", "gone")
        assert on.near.wait() == (7 if place == "damaged end" else 5), on.near.said
        assert "the destination has not taken the guest over" in on.near.said
        assert on.far.wait() in (5, 7), on.far.said
        before = beats(on.source)
        until("life at the source", lambda: beats(on.source) > before, SECONDS)
        on.never_both()


@pytest.mark.parametrize("kind", MORE)
def test_a_cut_right_behind_ram_s_end_leaves_one_guest(staged: Staged, kind: str) -> None:
    with staged(kind, "after end") as on:
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


@pytest.mark.parametrize("kind", MORE)
def test_a_link_that_stays_down_leaves_the_source_standing_and_quit_ends_it(
    staged: Staged, kind: str
) -> None:
    with staged(kind, "before answer", decide=DECIDE, lasting=True) as on:
        on.begin()
        held = undecided(on)
        on.sees(STANDS, "running")
        on.tell("quit")
        until("the holder's end", lambda: gone(held), SECONDS)
        on.sees("gone", "running")
        assert on.far.wait() == 0
        assert "the guest was taken over here" in on.far.said


@pytest.mark.parametrize("kind", MORE)
def test_a_link_that_stays_down_leaves_the_source_standing_and_a_cancel_lets_it_go_on(
    staged: Staged, kind: str
) -> None:
    with staged(kind, "before end", decide=DECIDE, lasting=True) as on:
        on.begin()
        held = undecided(on)
        on.sees(STANDS, "gone")
        on.tell("migrate_cancel")
        until("the holder's end", lambda: gone(held), SECONDS)
        on.sees("running", "gone")
        assert on.far.wait() == 5
        assert "the guest was not taken over here" in on.far.said


@pytest.mark.parametrize("kind", MORE)
def test_a_link_that_comes_back_brings_the_answer(staged: Staged, kind: str) -> None:
    with staged(kind, "before answer", lasting=True) as on:
        on.begin()
        on.sees(STANDS, "running")
        looks = on.guard.looks
        until("a while", lambda: on.guard.looks > looks + 100, SECONDS)
        assert on.guard.states == (STANDS, "running")
        on.proxy.heal()
        on.sees("postmigrate", "running")
        assert on.near.wait() == 0, on.near.said
        assert on.far.wait() == 0, on.far.said


def kill_near(on: Stage) -> None:
    on.near.kill()
    on.near.wait()


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_s_relay_that_is_killed_has_an_heir_who_tells_the_source(
    staged: Staged, kind: str
) -> None:
    with staged(kind, "at answer", strike=kill_near) as on:
        on.begin()
        on.sees("postmigrate", "running")
        until("a word of it", lambda: "and the source was told" in on.near.said, SECONDS)
        assert on.far.wait() == 0, on.far.said


@pytest.mark.parametrize("kind", MORE)
def test_a_source_s_relay_that_is_killed_has_an_heir_who_lets_the_source_go_on(
    staged: Staged, kind: str
) -> None:
    """Killed while the piece with ram's END is on its way, of which the far relay gets half."""
    with staged(kind, "half end", strike=kill_near) as on:
        on.begin()
        on.sees("running", "gone")
        until("a word of it", lambda: "it goes on at the source" in on.near.said, SECONDS)
        on.far.wait()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["at end", "before answer"])
def test_a_destination_s_relay_that_is_killed_leaves_the_source_standing(
    staged: Staged, kind: str, place: Place
) -> None:
    with staged(kind, place, decide=DECIDE, strike=lambda on: on.far.kill()) as on:
        on.begin()
        undecided(on)
        on.sees(STANDS, "running" if place == "before answer" else "gone")
        on.tell("quit")
        on.sees("gone", "running" if place == "before answer" else "gone")


@pytest.mark.parametrize("kind", MORE)
def test_both_relays_killed_leave_the_source_standing_and_a_sentence(
    staged: Staged, kind: str
) -> None:
    def strike(on: Stage) -> None:
        on.far.kill()
        kill_near(on)

    with staged(kind, "before answer", decide=DECIDE, strike=strike) as on:
        on.begin()
        until("a word of it", lambda: "the relay was ended in the switchover" in on.near.said, 30)
        assert "see with `info status` whether the destination runs it" in on.near.said
        on.sees(STANDS, "running")
        held = on.near.holder()
        on.tell("quit")
        until("the holder's end", lambda: gone(held), SECONDS)
        on.sees("gone", "running")


@pytest.mark.parametrize("kind", MORE)
@pytest.mark.parametrize("place", ["at end", "at answer"])
def test_a_destination_s_relay_that_stands_still_for_a_while_is_waited_for(
    staged: Staged, kind: str, place: Place
) -> None:
    with staged(kind, place, strike=lambda on: on.far.kill(signal.SIGSTOP)) as on:
        on.begin()
        begun = time.monotonic()
        until("a while", lambda: time.monotonic() > begun + 6, SECONDS)
        on.far.kill(signal.SIGCONT)
        on.sees("postmigrate", "running")
        assert on.near.wait() == 0, on.near.said
        assert on.far.wait() == 0, on.far.said


@pytest.mark.parametrize("kind", MORE)
def test_a_second_signal_leaves_the_source_standing(staged: Staged, kind: str) -> None:
    with staged(kind, "before answer", lasting=True) as on:
        on.begin()
        on.sees(STANDS, "running")
        on.near.kill(signal.SIGTERM)
        until("a word of it", lambda: "leave it undecided" in on.near.said, SECONDS)
        on.near.kill(signal.SIGTERM)
        assert on.near.wait() == 9, on.near.said
        held = on.near.holder()
        on.far.kill(signal.SIGTERM)
        assert on.far.wait() == 0
        assert on.guard.states == (STANDS, "running")
        on.tell("quit")
        until("the holder's end", lambda: gone(held), SECONDS)
        on.sees("gone", "running")
