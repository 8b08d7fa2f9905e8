"""The answer is never guessed: whatever happens between two relays in the switchover, at most one
guest runs, and it is the right one."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import answer_cases as cases
import pytest
from answer_cases import DECIDE, STANDS, Staged, kill_near, undecided
from answering import SECONDS, Place, Relay, Stage, gone, slowly
from guests import KINDS, MEMORY, beats, ends
from migrating import MIB, Pair, run_state, two_qemus, until

from ramferry.bench import boot_sector
from ramferry.bench.builtin import BuiltIn

pytestmark = pytest.mark.interop

TAKEN: tuple[Place, ...] = ("before answer", "half answer", "damaged answer")
NOT_TAKEN: tuple[Place, ...] = ("before end", "half end", "damaged end")


@pytest.fixture
def staged(require_peer: Callable[[str], Path]) -> Staged:
    """Makes a stage of two guests of a kind."""

    @contextmanager
    def made(kind: str, place: Place, **how: Any) -> Iterator[Stage]:
        with (
            ends(kind, require_peer) as (source, destination),
            Stage(source, destination, place, **how) as on,
        ):
            yield on

    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", TAKEN)
def test_an_answer_that_is_lost_is_asked_for(staged: Staged, kind: str, place: Place) -> None:
    with staged(kind, place) as on:
        cases.an_answer_is_asked_for(on)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", NOT_TAKEN)
def test_a_destination_that_did_not_get_all_has_not_taken_it(
    staged: Staged, kind: str, place: Place
) -> None:
    with staged(kind, place) as on:
        cases.it_is_not_taken(on, place)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_in_the_midst_of_the_device_state_leaves_one_guest(staged: Staged, kind: str) -> None:
    with staged(kind, "after end") as on:
        cases.one_guest_is_left(on)


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_that_stays_down_leaves_the_source_standing_and_quit_ends_it(
    staged: Staged, kind: str
) -> None:
    with staged(kind, "before answer", decide=DECIDE, lasting=True) as on:
        cases.a_link_stays_down(on)


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_that_stays_down_leaves_the_source_standing_and_a_cancel_lets_it_go_on(
    staged: Staged, kind: str
) -> None:
    with staged(kind, "before end", decide=DECIDE, lasting=True) as on:
        on.begin()
        held = undecided(on)
        on.sees(STANDS, "gone")
        if kind == "built-in":  # it takes no cancel once its device state is out
            os.kill(held, signal.SIGTERM)
        else:
            on.tell("migrate_cancel")
        until("the holder's end", lambda: gone(held), SECONDS)
        on.sees("running", "gone")
        before = beats(on.source)
        until("life at the source", lambda: beats(on.source) > before, SECONDS)
        assert on.far.wait() == 5
        assert "the guest was not taken over here" in on.far.said


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_that_comes_back_brings_the_answer(staged: Staged, kind: str) -> None:
    with staged(kind, "before answer", lasting=True) as on:
        cases.a_link_comes_back(on)


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_s_relay_that_is_killed_has_an_heir_who_tells_the_source(
    staged: Staged, kind: str
) -> None:
    """Killed while SHUT is on its way."""
    with staged(kind, "at answer", strike=kill_near) as on:
        cases.an_heir_tells_the_source(on)


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_s_relay_that_is_killed_has_an_heir_who_lets_the_source_go_on(
    staged: Staged, kind: str
) -> None:
    """Killed while ram's END is on its way, which the far relay gets; not the rest behind it."""

    with staged(kind, "before end", strike=kill_near) as on:
        cases.an_heir_lets_the_source_go_on(on)


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_s_relay_that_is_killed_while_memory_moves_lets_the_source_go_on_at_once(
    staged: Staged, kind: str
) -> None:
    with staged(kind, "never", decide=DECIDE, ready=slowly) as on:
        on.begin()
        on.moves()
        kill_near(on)
        on.sees("running", "gone")
        # a packet may be cut in its midst, which the protocol forbids
        assert on.far.wait() in (5, 7), on.far.said


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["at end", "before answer"])
def test_a_destination_s_relay_that_is_killed_leaves_the_source_standing(
    staged: Staged, kind: str, place: Place
) -> None:
    cases.the_far_relay_is_killed(staged, kind, place)


@pytest.mark.parametrize("kind", KINDS)
def test_both_relays_killed_leave_the_source_standing_and_a_sentence(
    staged: Staged, kind: str
) -> None:
    cases.both_relays_are_killed(staged, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["at end", "at answer"])
def test_a_destination_s_relay_that_stands_still_for_a_while_is_waited_for(
    staged: Staged, kind: str, place: Place
) -> None:
    cases.the_far_relay_stands_still(staged, kind, place)


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_signal_leaves_the_source_standing(staged: Staged, kind: str) -> None:
    with staged(kind, "before answer", lasting=True) as on:
        cases.a_second_signal(on)


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_migration_leaves_no_process_and_holds_nothing_back_in_vain(
    staged: Staged, kind: str
) -> None:
    found: list[int] = []

    def seen() -> bool:
        found[:] = holders(on.near)
        return bool(found)

    with staged(kind, "never", ready=slowly) as on:
        on.begin()
        until("the process that stands by", seen, SECONDS)
        (held,) = found
        assert not holders(on.far)
        on.guard.tell(on.source, "migrate-set-parameters", {"max-bandwidth": 0})
        on.sees("postmigrate", "running")
        assert on.near.wait() == 0
        assert on.far.wait() == 0
        assert gone(held)
        assert "no end that can be found" not in on.far.said


def holders(relay: Relay) -> list[int]:
    """The processes that stand by for a relay."""
    found = []
    for children in Path(f"/proc/{relay.process.pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in children.read_text().split():
                if b"transport/holder.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(int(pid))
    return found


def test_a_relay_that_holds_a_source_takes_the_next_migration(
    require_peer: Callable[[str], Path],
) -> None:
    with (
        ends("built-in", require_peer) as (source, destination),
        BuiltIn(MEMORY) as other,
        Stage(source, destination, "before answer", decide=DECIDE, lasting=True, once=False) as on,
    ):
        on.begin()
        until("a word of it", lambda: "held open by process" in on.near.said, SECONDS)
        held = on.near.holder()
        other.qmp.execute("migrate", {"uri": on.near.address})
        on.until("the next one's end", lambda: on.near.said.count("failed:") == 2, SECONDS)
        until("its guest at home", lambda: run_state(other) == "running", SECONDS)  # type: ignore[arg-type]
        assert on.guard.states == ("finish-migrate", "running")
        assert not gone(held)
        on.tell("quit")
        on.sees("gone", "running")
        until("the holder's end", lambda: gone(held), SECONDS)
        on.near.kill(signal.SIGTERM)
        assert on.near.wait() == 0


@pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
def test_a_stream_without_a_description_is_not_held_back_for_good(pair: Pair) -> None:
    options = ("-machine", "suppress-vmdesc=on")
    boot = boot_sector.boot_sector(MEMORY, first=48 * MIB, rate=4)
    with two_qemus(pair, MEMORY, boot=boot, options=options) as (source, destination):
        for end in (source, destination):
            end.qmp.execute("cont")
        with Stage(source, destination, "before answer") as on:
            on.begin()
            on.sees("postmigrate", "running")
            assert on.near.wait() == 0, on.near.said
            assert "no end that can be found" in on.far.said
