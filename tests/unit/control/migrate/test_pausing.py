"""A guest that was stopped for the rest runs again, once, at one end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ramferry.control.migrate.ending import Ending
from ramferry.control.migrate.pausing import Pause
from ramferry.control.qemu.status import GONE
from ramferry.errors import MethodUnavailable, RamferryError


class End:
    """A QEMU that does what it is told."""

    def __init__(self, state: str | None, refuses: RamferryError | None = None) -> None:
        self.state, self.refuses = state, refuses
        self.done: list[str] = []
        self.after_stop = "paused"
        self.later: list[str] = []
        """States that come one after another."""

    def settle(self, done: Callable[[str | None], bool], _seconds: float) -> str | None:
        while not done(self.state) and self.later:
            self.state = self.later.pop(0)
        return self.state

    def run_state(self) -> str | None:
        return self.state

    def execute(self, command: str) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.done.append(command)
        self.state = {"stop": self.after_stop, "cont": "running"}[command]


def paused(source: End, destination: End) -> tuple[Pause, list[str]]:
    notes: list[str] = []
    ends: Any = (source, destination)
    return Pause(*ends, notes.append), notes


@pytest.mark.parametrize("state", ["paused", "prelaunch", "finish-migrate", None])
def test_one_that_does_not_run_is_not_stopped(state: str | None) -> None:
    source, destination = End(state), End("inmigrate")
    pause, _ = paused(source, destination)
    assert not pause.begin()
    assert not pause.asked
    pause.undo(GONE)
    pause.arrived("paused")
    assert source.done == destination.done == []


def test_it_goes_on_where_it_was_seen_to_arrive() -> None:
    source, destination = End("running"), End("paused")
    pause, notes = paused(source, destination)
    assert pause.begin()
    assert pause.still_ms is None
    pause.arrived("paused")
    assert (source.done, destination.done) == (["stop"], ["cont"])
    assert pause.still_ms is not None
    assert notes == []


@pytest.mark.parametrize("state", ["running", "inmigrate", GONE, None])
def test_it_is_not_let_go_where_it_does_not_stand_still(state: str | None) -> None:
    source, destination = End("running"), End(state)
    pause, _ = paused(source, destination)
    pause.begin()
    pause.arrived(state)
    assert destination.done == []


@pytest.mark.parametrize(
    ("far", "after_stop", "goes_on"),
    [
        (GONE, "paused", True),
        ("inmigrate", "paused", True),
        ("paused", "paused", True),  # a copy that nobody starts
        (None, "paused", True),  # it travels as one that stands still
        ("running", "paused", False),
        (None, "finish-migrate", False),  # it may have left as one that runs
        (GONE, "finish-migrate", True),
    ],
)
def test_it_goes_on_at_the_source_after_a_failure(
    far: str | None, after_stop: str, goes_on: bool
) -> None:
    source = End("running")
    source.after_stop = after_stop
    pause, _ = paused(source, End(far))
    pause.begin()
    source.state = "paused"
    pause.undo(far)
    assert source.done == ["stop", *["cont"] * goes_on]


@pytest.mark.parametrize(
    "states", [["finish-migrate", "paused"], ["postmigrate"], ["finish-migrate", "postmigrate"]]
)
def test_it_goes_on_also_where_it_had_stood_for_the_switchover(states: list[str]) -> None:
    """QEMU says "failed" before its run state is final, and 7.2 leaves it postmigrate."""
    source = End("running")
    pause, _ = paused(source, End(GONE))
    pause.begin()
    source.state, *source.later = states
    pause.undo(GONE)
    assert source.done == ["stop", "cont"]


def test_a_refusal_is_noted() -> None:
    source, destination = End("running", MethodUnavailable("no")), End("paused")
    pause, notes = paused(source, destination)
    assert not pause.begin()
    assert pause.asked  # it may have heeded that before its answer was lost
    destination.refuses = MethodUnavailable("it does not")
    pause.arrived("paused")
    assert notes == [
        "the guest was to be stopped for the rest of the migration: no",
        "the guest stands still at the destination, `cont` it there: it does not",
    ]


def test_an_ending_has_it_go_on_before_it_looks_where_the_guest_is() -> None:
    from test_ending import End as Both

    source, destination = Both("running"), Both(GONE)
    source.on = {
        "stop": lambda: setattr(source, "state", "paused"),
        "cont": lambda: setattr(source, "state", "running"),
    }
    source.run_state = source.look  # type: ignore[attr-defined]
    pause, _ = paused(source, destination)  # type: ignore[arg-type]
    assert pause.begin()
    ends: Any = (source, destination)
    ending = Ending(*ends, lambda _: None, pause)
    assert ending.settle(switched=False) == "the guest runs at the source"
