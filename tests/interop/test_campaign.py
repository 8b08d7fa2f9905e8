"""The campaign of seeded faults, and proof that its judge sees what it is to see."""

from __future__ import annotations

import pytest
from campaign_claims import Scene, advises, untrue
from campaign_draw import QUICK, draw
from campaign_flips import flips_told
from campaign_run import run_trial
from campaign_table import summary
from campaign_topologies import TOPOLOGIES
from campaign_trial import BREAKS, FAULTS, Trial
from run_campaign import flip, run_trials

pytestmark = pytest.mark.interop

SEED = 12
TRIALS = 400
FLIPS = 200
JOBS = 2
MISSED = 0.1
"""Share of trials in which the migration may be over before the fault's phase was seen."""

HERE = Scene(source=True, destination=False, source_state="running", destination_state="inmigrate")
THERE = Scene(False, True, "postmigrate", "running")
NOWHERE = Scene(False, False, "paused", "gone")
BOTH = Scene(True, True, "running", "running")


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_no_fault_makes_two_guests_or_none_or_an_untrue_sentence() -> None:
    trials = [draw(SEED, number) for number in range(TRIALS)]
    outcomes = list(run_trials(trials, JOBS))
    told = summary(trials, outcomes)
    print(told)
    bad = [f"{one.text}: {one.violations}" for one in outcomes if one.violations]
    assert not bad, "\n".join([*bad, told])
    missed = [one.text for one in outcomes if not one.struck]
    assert len(missed) <= MISSED * TRIALS, missed


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_flipped_bit_anywhere_between_two_relays_is_found_before_the_switchover() -> None:
    flips = list(flip(SEED, FLIPS, "clear", JOBS))
    told = flips_told(flips)
    print(told)
    assert told.startswith(f"{FLIPS} of {FLIPS} found"), told


def test_trials_are_the_same_for_the_same_seed_and_reach_everything() -> None:
    trials = [draw(SEED, number) for number in range(TRIALS)]
    assert trials == [draw(SEED, number) for number in range(TRIALS)]
    assert trials != [draw(SEED + 1, number) for number in range(TRIALS)]
    assert {trial.topology for trial in trials} == set(TOPOLOGIES)
    assert {trial.fault for trial in trials} == set(FAULTS)
    signalled = {(t.managed, t.target) for t in trials if t.fault.startswith("sig")}
    stations = {"near", "far", "source", "destination"}
    assert signalled == {(by, who) for by in (True, False) for who in stations} | {
        (True, who) for who in ("migrate", "ssh", "half")
    }
    broken = {(trial.topology, trial.place) for trial in trials if trial.fault in BREAKS}
    assert broken >= {("local", "near"), ("via", "far"), ("pair", "wire"), ("one", "far")}
    assert broken >= {(name, "wire") for name in ("clear", "tls", "via-tls", "ssh")}
    assert {draw(SEED, number, QUICK).topology for number in range(40)} == set(TOPOLOGIES)


def test_the_judge_sees_two_guests() -> None:
    """Between relays that were started by hand nobody can know, once the answer is cut."""
    trial = Trial(
        seed=0,
        number=0,
        topology="pair",
        source="7.2",
        destination="7.2",
        paused=False,
        method="none",
        channels=2,
        fault="cut",
        watch="near",
        place="near",
        target="main",
        way="both",
        phase="answer",
        seconds=0,
        delay=0,
        skip=0,
        lasting=False,
        once=True,
        timeout=None,
    )
    outcome = run_trial(trial)
    assert outcome.struck
    assert outcome.where.startswith("both")
    assert outcome.overlap_ms > 1000
    assert [kind for kind, _ in outcome.known] == ["two guests"]
    assert not outcome.violations


@pytest.mark.parametrize(
    ("line", "seen", "lies"),
    [
        ("cancelled; the guest runs at the source", HERE, 0),
        ("cancelled; the guest runs at the source", BOTH, 0),
        ("cancelled; the guest runs at the source", THERE, 1),
        ("cancelled: SIGTERM; the guest stays at the source", THERE, 1),
        ("cancelled: SIGTERM; the guest stays at the source", NOWHERE, 0),
        ("the guest runs at the destination, stop the source's QEMU", HERE, 1),
        ("the guest runs at the destination, stop the source's QEMU", THERE, 0),
        ("the source does not answer, and the guest does not run at the destination", THERE, 1),
        ("the guest is at the source, which is paused: `cont` there lets it run on", NOWHERE, 0),
        ("the guest is at the source, which is paused: `cont` there lets it run on", HERE, 1),
        ("it had begun to run at the destination too, and was stopped there", BOTH, 1),
        ("the migration failed: the destination QEMU ended; it is gone", HERE, 1),
        ("the migration failed: the destination QEMU ended; it is gone", NOWHERE, 0),
        ("the destination accepted the guest, and then its QEMU ended; advice", THERE, 1),
        ("the destination waits on, told not to run what comes: end its QEMU", HERE, 0),
        ("the guest stands still: the source is paused, the destination gone", HERE, 1),
        ("carried 32 MB of pages", NOWHERE, 0),
    ],
)
def test_sentences_are_held_against_what_is_seen(line: str, seen: Scene, lies: int) -> None:
    assert len(untrue(line, seen)) == lies


def test_advice_is_told_from_none() -> None:
    assert advises(["failed", "the source is postmigrate: `cont` there lets it run on"])
    assert advises(["a copy of it stands still at the destination (paused): end its QEMU"])
    assert not advises(["the migration failed: the destination QEMU ended"])
