"""What is done to each end, and what is said, for every state in which they can be found."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from ramferry.control.migrate import ending as ending_module
from ramferry.control.migrate.ending import Ending
from ramferry.control.qemu.end import QemuEnd
from ramferry.control.qemu.status import GONE
from ramferry.errors import MethodUnavailable, PeerTimeout, PeerUnreachable


class End:
    """One end as ``QemuEnd`` shows it; every command that changes something is kept."""

    def __init__(
        self, state: str | None, *, before: str = "running", receives: bool = True
    ) -> None:
        self.state = state
        self.facts = SimpleNamespace(run_state=before)
        self.done: list[str] = []
        self.on: dict[str, Callable[[], None]] = {}
        self._receives = receives

    def look(self) -> str | None:
        return self.state

    def receives(self) -> bool:
        return self._receives

    def execute(self, command: str, **_: float) -> dict[str, Any]:
        if self.state is None:
            raise PeerTimeout("it does not answer")
        if self.state == GONE:
            raise PeerUnreachable("it has ended")
        self.done.append(command)
        self.on.get(command, lambda: None)()
        return {}

    bar = QemuEnd.bar

    def settle(self, done: Callable[[str | None], bool], _seconds: float) -> str | None:
        done(self.state)
        return self.state


def raising(error: Exception) -> Callable[[], None]:
    """What an end does with a command that it fails."""

    def fail() -> None:
        raise error

    return fail


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending_module, "FOLLOW_SECONDS", 0.0)


def ending(source: End, destination: End) -> tuple[Ending, list[str]]:
    notes: list[str] = []
    return Ending(source, destination, notes.append), notes  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "destination", "receives", "told", "to_source", "to_destination"),
    [
        # memory moves
        ("running", "inmigrate", False, True, ["migrate_cancel"], []),
        ("running", "inmigrate", True, True, ["migrate_cancel"], ["stop"]),
        ("running", None, True, True, ["migrate_cancel"], []),
        ("running", GONE, True, True, ["migrate_cancel"], []),
        # the switchover
        ("finish-migrate", "inmigrate", True, True, ["migrate_cancel"], ["stop"]),
        ("finish-migrate", "running", True, False, [], []),
        ("finish-migrate", "paused", True, False, [], []),
        ("finish-migrate", None, True, False, [], []),
        ("finish-migrate", GONE, True, True, ["migrate_cancel"], []),
        (None, None, True, False, [], []),
        (None, "running", True, False, [], []),
        ("postmigrate", "running", True, False, [], []),
    ],
)
def test_a_wish_to_end(
    source: str | None,
    destination: str | None,
    receives: bool,
    told: bool,
    to_source: list[str],
    to_destination: list[str],
) -> None:
    near, far = End(source), End(destination, receives=receives)
    one, notes = ending(near, far)
    assert one.attempt("cancelled") is told
    assert (near.done, far.done) == (to_source, to_destination)
    assert bool(notes) is not told


def test_a_destination_that_may_heed_the_wish_yet_is_let_go_on_where_it_has_the_guest() -> None:
    """A `stop` that nobody has answered in time waits in its queue."""
    near, far = End("finish-migrate"), End("inmigrate")
    far.on["stop"] = raising(PeerTimeout("it does not answer"))
    one, notes = ending(near, far)
    assert not one.attempt("cancelled")
    assert near.done == []
    assert "does not answer: nothing is cancelled" in notes[0]
    far.state, far.on = "paused", {}
    one.release()
    assert far.done == ["stop", "cont"]


@pytest.mark.parametrize(
    ("status", "receives"), [("none", False), ("setup", False), ("active", True), ("", True)]
)
def test_a_destination_that_does_not_say_what_it_has_may_have_the_guest(
    status: str, receives: bool
) -> None:
    end = QemuEnd.__new__(QemuEnd)
    end._asides = SimpleNamespace(status=lambda: status)  # type: ignore[assignment]
    assert end.receives() is receives


def test_a_wish_that_waits_is_told_of_once() -> None:
    one, notes = ending(End("finish-migrate"), End("running"))
    for _ in range(3):
        assert not one.attempt("cancelled")
    assert notes == [
        "cancelled: too late to end the migration, as the destination has the guest, which is "
        "running there; waiting for the source to hear of it"
    ]


def test_a_guest_that_arrives_while_it_is_barred_runs_on() -> None:
    """QEMU's `stop` then pauses a guest that runs already."""
    near, far = End("finish-migrate"), End("inmigrate")
    far.on["stop"] = lambda: setattr(far, "state", "paused")
    far.on["cont"] = lambda: setattr(far, "state", "running")
    one, _ = ending(near, far)
    assert not one.attempt("cancelled")
    assert far.done == ["stop", "cont"]
    assert near.done == []


@pytest.mark.parametrize(("before", "conts"), [("running", ["stop", "cont"]), ("paused", ["stop"])])
def test_a_barred_destination_whose_source_completed_runs_what_ran(
    before: str, conts: list[str]
) -> None:
    near, far = End("finish-migrate", before=before), End("inmigrate")
    one, _ = ending(near, far)
    one.attempt("cancelled")
    one.release()
    assert far.done == conts


def test_a_source_that_refuses_to_cancel_says_why() -> None:
    near, far = End("running"), End("inmigrate")
    near.on["migrate_cancel"] = raising(MethodUnavailable("the QEMU refuses migrate_cancel: no"))
    one, notes = ending(near, far)
    assert one.attempt("cancelled")
    assert notes == ["the QEMU refuses migrate_cancel: no"]


@pytest.mark.parametrize("lost", [PeerUnreachable, PeerTimeout])
def test_a_source_that_does_not_hear_of_it_is_looked_at_again(lost: type[Exception]) -> None:
    """Whoever asks next says where the guest is."""
    near, far = End("running"), End("inmigrate")
    near.on["migrate_cancel"] = raising(lost("the connection ended at migrate_cancel"))
    one, notes = ending(near, far)
    assert not one.attempt("cancelled")
    assert notes == ["the connection ended at migrate_cancel"]


SOURCE_RUNS = "the guest runs at the source"


@pytest.mark.parametrize(
    ("source", "destination", "saw_it", "switched", "clause", "to_source", "to_destination"),
    [
        ("running", GONE, False, True, SOURCE_RUNS, [], []),
        (
            "running",
            "inmigrate",
            False,
            True,
            f"{SOURCE_RUNS}; the destination waits on, told not to run what comes: end its QEMU",
            [],
            ["stop"],
        ),
        (
            "running",
            "paused",
            False,
            True,
            f"{SOURCE_RUNS}; a copy of it stands still at the destination (paused): end its QEMU",
            [],
            [],
        ),
        (
            "running",
            "running",
            False,
            True,
            f"{SOURCE_RUNS}; it had begun to run at the destination too, and was stopped there",
            [],
            ["stop"],
        ),
        (
            "running",
            "running",
            True,
            True,
            "the guest runs at the destination, which had it before the source let its own go on: "
            "that was stopped, end the source's QEMU",
            ["stop"],
            [],
        ),
        (
            "postmigrate",
            "running",
            True,
            True,
            "the guest runs at the destination: do not `cont` the source, which is postmigrate",
            [],
            [],
        ),
        (
            # a built-in guest that speaks relay: by itself, and could not ask
            "paused",
            "running",
            None,
            True,
            "the guest runs at the destination: do not `cont` the source, which is paused",
            [],
            [],
        ),
        (
            "running",
            None,
            False,
            True,
            f"{SOURCE_RUNS}; the destination does not answer: see that the guest does not run "
            "there",
            [],
            [],
        ),
        ("running", None, False, False, SOURCE_RUNS, [], []),
        (None, "running", False, True, "the source does not answer; the guest runs at the", [], []),
        (GONE, "running", False, True, "the source has ended; the guest runs at the dest", [], []),
        (
            GONE,
            "paused",
            False,
            True,
            "the source has ended; the guest stands still at the destination, which is paused: "
            "`cont` there lets it run on",
            [],
            [],
        ),
    ],
)
def test_a_migration_that_failed_leaves_one_guest(
    source: str | None,
    destination: str | None,
    saw_it: bool | None,
    switched: bool,
    clause: str,
    to_source: list[str],
    to_destination: list[str],
) -> None:
    """``saw_it``: None if the destination is found to have it only at the end."""
    near, far = End(source), End(destination)
    one, _ = ending(near, far)
    if saw_it:
        one.look()
    assert one.settle(switched=switched).startswith(clause)
    assert (near.done, far.done) == (to_source, to_destination)
    assert one.moved is (saw_it is not False)
