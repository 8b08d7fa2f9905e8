"""The answer is never guessed: whatever happens between two relays in the switchover, at most one
guest runs, and it is the right one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from answering import Place, Stage
from guests import KINDS, ends

pytestmark = pytest.mark.interop

TAKEN: tuple[Place, ...] = ("before answer", "half answer", "damaged answer")
NOT_TAKEN: tuple[Place, ...] = ("before end", "half end", "damaged end")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", TAKEN)
def test_an_answer_that_is_lost_is_asked_for(
    require_peer: Callable[[str], Path], kind: str, place: Place
) -> None:
    with ends(kind, require_peer) as (source, destination), Stage(source, destination, place) as on:
        on.begin()
        on.sees("postmigrate", "running")
        assert on.near.wait() == 0, on.near.said
        assert on.far.wait() == 0, on.far.said
        assert on.near.result["completed"]
        on.never_both()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", NOT_TAKEN)
def test_a_destination_that_did_not_get_all_has_not_taken_it(
    require_peer: Callable[[str], Path], kind: str, place: Place
) -> None:
    with ends(kind, require_peer) as (source, destination), Stage(source, destination, place) as on:
        on.begin()
        on.sees("running", "gone")
        assert on.near.wait() == 5, on.near.said
        assert "the destination has not taken the guest over" in on.near.said
        assert on.far.wait() in (5, 7), on.far.said
        on.never_both()


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_in_the_midst_of_the_device_state_leaves_one_guest(
    require_peer: Callable[[str], Path], kind: str
) -> None:
    with (
        ends(kind, require_peer) as (source, destination),
        Stage(source, destination, "after end") as on,
    ):
        on.begin()
        code = on.near.wait()
        if code == 0:  # all of it had come in time
            on.sees("postmigrate", "running")
        else:
            assert code == 5, on.near.said
            on.sees("running", "gone")
        on.far.wait()
        on.never_both()
