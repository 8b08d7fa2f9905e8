"""QEMU's migration statuses and run states, and what each means to the orchestrator. Pure.

::

    none → setup → active → (pre-switchover) → (device) → completed
                      │             │             │
                      └─────────────┴─────────────┴→ cancelling → cancelled
                                                  └→ (failing)  → failed

``device`` shows on 7.2 only with pause-before-switchover, on 11.1 always; ``failing`` since 11.1.
"""

from __future__ import annotations

from enum import Enum

from ramferry.vocabulary import ENDED as ENDED
from ramferry.vocabulary import FINISH_MIGRATE, INMIGRATE, POSTMIGRATE
from ramferry.vocabulary import IDLE as IDLE


class Phase(Enum):
    """What the orchestrator does about a status."""

    MOVING = "memory moves: wait"
    PAUSED = "QEMU waits for migrate-continue before it switches over"
    SWITCHING = "the guest stands still between the two hosts: wait"
    ENDING = "QEMU is undoing the migration: wait"
    COMPLETED = "the destination has the guest"
    FAILED = "the source keeps the guest"


PHASES = {
    "none": Phase.MOVING,
    "setup": Phase.MOVING,
    "wait-unplug": Phase.MOVING,
    "active": Phase.MOVING,
    "pre-switchover": Phase.PAUSED,
    "device": Phase.SWITCHING,
    "cancelling": Phase.ENDING,
    "failing": Phase.ENDING,
    "completed": Phase.COMPLETED,
    "failed": Phase.FAILED,
    "cancelled": Phase.FAILED,
}
"""Status → phase. Those of postcopy are absent, because its capability is off."""

WAITING = "setup"
"""Status of a destination from ``migrate-incoming`` until bytes of a guest come (QEMU 10.0, not
7.2)."""

FINISHING = FINISH_MIGRATE
ARRIVING = INMIGRATE

PAUSED = "paused"
"""Run state of a guest that was told to stand still, and of a built-in one whose migration failed
while it may run at the destination."""

STANDING = frozenset({POSTMIGRATE, FINISHING})
"""Run states of a source whose guest was handed over, or stands still to be handed over."""

GONE = "gone"
"""Stands for the run state of a QEMU that has ended. QEMU has no run state of this name."""


HANDOVER_SECONDS = 10.0
"""How long a destination may stay in ``inmigrate`` after the source's "completed"."""


def not_again(side: str, state: str | None) -> str:
    """A clause that says why a destination that got no guest takes none now, and what to do.

    :param state: its run state; None if it does not answer, ``GONE`` if it has ended.
    """
    again = "start it again with -incoming defer before you repeat this"
    if state == GONE:
        return f"the {side} has ended: {again}"
    silent = f"the {side} does not answer, and may still listen"
    there = silent if state is None else f"the {side} still listens"
    return f"{there}, with the settings of this migration: end it, and {again}"


def phase_of(status: str) -> Phase:
    """The phase of a status. A status that is not known here, from a newer QEMU, counts as
    moving."""
    return PHASES.get(status, Phase.MOVING)


def whereabouts(before: str, source: str | None, destination: str | None) -> str:
    """A clause that says where the guest is after a migration that did not complete.

    It says only what was seen; if a QEMU does not answer, it says that.

    :param before: the source's run state when the migration began.
    :param source: its run state at the end; None if it does not answer, ``GONE`` if it has ended.
    :param destination: the destination's run state at the end; None if it does not answer, ``GONE``
        if it has ended or no migration had begun.
    """
    if source in (None, GONE):
        return _without_source(destination, "has ended" if source else "does not answer")
    if source == "running":
        if destination == "running":
            return "it runs at the source and at the destination: `stop` one of them at once"
        return "the guest runs at the source"
    if destination == "running":
        return f"the guest runs at the destination: do not `cont` the source, which is {source}"
    if source == before:
        return f"the guest is at the source, {before} as before"
    if destination == GONE:
        return f"the guest is at the source, which is {source}: `cont` there lets it run on"
    if destination is None:
        return (
            f"the guest stands still at the source, which is {source}, and the destination does "
            "not answer: see there, with `info status`, that it does not run before you `cont` "
            "the source"
        )
    return (
        f"the guest stands still: the source is {source}, the destination {destination}; `cont` at "
        "the source lets it run on there, once the destination's QEMU has ended"
    )


def _without_source(destination: str | None, source: str) -> str:
    if destination == "running":
        return f"the source {source}; the guest runs at the destination"
    if destination is None and source == "has ended":
        return (
            "the source has ended, and the destination does not answer: see with `info status` "
            "whether the guest is there"
        )
    if destination is None:
        return (
            "neither QEMU answers: see where the guest is, with `info status` at both, before"
            " you `cont` it at either"
        )
    if destination in (GONE, ARRIVING):
        return f"the source {source}, and the guest does not run at the destination"
    there = (
        f"the source {source}; the guest stands still at the destination, which is {destination}"
    )
    if source == "has ended":
        return f"{there}: `cont` there lets it run on"
    return (
        f"{there}: see with `info status` that it does not run at the source before you `cont` it"
    )
