"""The answer is never guessed for plain streams either: whatever happens between two relays in the
switchover, at most one guest runs, and it is the right one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import answer_cases as cases
import pytest
from answer_cases import DECIDE, STANDS, Staged, kill_near, undecided
from answering import SECONDS, Place, Stage, gone
from guests import beats, ends
from migrating import until
from plain_answering import PieceCutter, ready

pytestmark = pytest.mark.interop

SLOW = pytest.mark.slow
KINDS = ("stock", "10.0")
MORE = ("stock", pytest.param("10.0", marks=SLOW))
TAKEN = (
    "before answer",
    *(pytest.param(f"{how} answer", marks=SLOW) for how in ("half", "damaged")),
)
NOT_TAKEN = ("half end", *(pytest.param(f"{how} end", marks=SLOW) for how in ("before", "damaged")))


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
        cases.an_answer_is_asked_for(on)
        assert on.near.result["kind"] == "plain"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", NOT_TAKEN)
def test_a_destination_that_did_not_get_all_has_not_taken_it(
    staged: Staged, kind: str, place: Place
) -> None:
    with staged(kind, place) as on:
        cases.it_is_not_taken(on, place)
        before = beats(on.source)
        until("life at the source", lambda: beats(on.source) > before, SECONDS)
        on.never_both()


@pytest.mark.parametrize("kind", MORE)
def test_a_cut_right_behind_ram_s_end_leaves_one_guest(staged: Staged, kind: str) -> None:
    with staged(kind, "after end") as on:
        cases.one_guest_is_left(on)


@pytest.mark.parametrize("kind", MORE)
def test_a_link_that_stays_down_leaves_the_source_standing_and_quit_ends_it(
    staged: Staged, kind: str
) -> None:
    with staged(kind, "before answer", decide=DECIDE, lasting=True) as on:
        cases.a_link_stays_down(on)


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
        cases.a_link_comes_back(on)


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_s_relay_that_is_killed_has_an_heir_who_tells_the_source(
    staged: Staged, kind: str
) -> None:
    with staged(kind, "at answer", strike=kill_near) as on:
        cases.an_heir_tells_the_source(on)


@pytest.mark.parametrize("kind", MORE)
def test_a_source_s_relay_that_is_killed_has_an_heir_who_lets_the_source_go_on(
    staged: Staged, kind: str
) -> None:
    """Killed while the piece with ram's END is on its way, of which the far relay gets half."""
    with staged(kind, "half end", strike=kill_near) as on:
        cases.an_heir_lets_the_source_go_on(on)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["at end", "before answer"])
def test_a_destination_s_relay_that_is_killed_leaves_the_source_standing(
    staged: Staged, kind: str, place: Place
) -> None:
    cases.the_far_relay_is_killed(staged, kind, place)


@pytest.mark.parametrize("kind", MORE)
def test_both_relays_killed_leave_the_source_standing_and_a_sentence(
    staged: Staged, kind: str
) -> None:
    cases.both_relays_are_killed(staged, kind)


@pytest.mark.parametrize("kind", MORE)
@pytest.mark.parametrize("place", ["at end", "at answer"])
def test_a_destination_s_relay_that_stands_still_for_a_while_is_waited_for(
    staged: Staged, kind: str, place: Place
) -> None:
    cases.the_far_relay_stands_still(staged, kind, place)


@pytest.mark.parametrize("kind", MORE)
def test_a_second_signal_leaves_the_source_standing(staged: Staged, kind: str) -> None:
    with staged(kind, "before answer", lasting=True) as on:
        cases.a_second_signal(on)
