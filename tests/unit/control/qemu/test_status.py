"""Statuses to phases, and the clause that says where the guest is."""

import pytest

from ramferry.control.qemu.status import ENDED, GONE, PHASES, Phase, phase_of, whereabouts


def test_final_statuses_are_those_of_the_final_phases() -> None:
    final = {name for name, phase in PHASES.items() if phase in (Phase.COMPLETED, Phase.FAILED)}
    assert final == ENDED


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("active", Phase.MOVING),
        ("pre-switchover", Phase.PAUSED),
        ("device", Phase.SWITCHING),
        ("failing", Phase.ENDING),  # since 11.1
        ("cancelled", Phase.FAILED),
        ("a status to come", Phase.MOVING),
    ],
)
def test_phase(status: str, phase: Phase) -> None:
    assert phase_of(status) is phase


@pytest.mark.parametrize(
    ("before", "source", "destination", "clause"),
    [
        ("running", "running", None, "the guest runs at the source"),
        ("paused", "paused", "inmigrate", "the guest is at the source, paused as before"),
        (
            "running",
            None,
            "running",
            "the source does not answer; the guest runs at the destination",
        ),
        (
            "running",
            None,
            "inmigrate",
            "the source does not answer, and the guest does not run at the destination",
        ),
        (
            "running",
            None,
            GONE,
            "the source does not answer, and the guest does not run at the destination",
        ),
        (
            "running",
            None,
            None,
            "neither QEMU answers: see where the guest is, with `info status` at both, before"
            " you `cont` it at either",
        ),
        (
            "running",
            GONE,
            "running",
            "the source has ended; the guest runs at the destination",
        ),
        (
            "running",
            GONE,
            None,
            "the source has ended, and the destination does not answer: see with `info status`"
            " whether the guest is there",
        ),
        (
            "running",
            "finish-migrate",
            GONE,
            "the guest is at the source, which is finish-migrate: `cont` there lets it run on",
        ),
        (
            "running",
            "finish-migrate",
            None,
            "the guest stands still at the source, which is finish-migrate, and the destination"
            " does not answer: see there, with `info status`, that it does not run before you"
            " `cont` the source",
        ),
        (
            "running",
            "finish-migrate",
            "inmigrate",
            "the guest stands still: the source is finish-migrate, the destination inmigrate;"
            " `cont` at the source lets it run on there, once the destination's QEMU has ended",
        ),
        (
            "running",
            "finish-migrate",
            "running",
            "the guest runs at the destination: do not `cont` the source, which is finish-migrate",
        ),
        (
            "running",
            "running",
            "running",
            "it runs at the source and at the destination: `stop` one of them at once",
        ),
    ],
)
def test_whereabouts(before: str, source: str | None, destination: str | None, clause: str) -> None:
    assert whereabouts(before, source, destination) == clause
