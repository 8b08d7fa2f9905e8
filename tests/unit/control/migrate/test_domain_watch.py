"""A domain's migration is followed to its end, and its last sentence is what was seen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self, cast

import pytest

from ramferry.control.libvirt.contract import Connection, Move, Stats
from ramferry.control.libvirt.end import DomainEnd
from ramferry.control.migrate import domain_watch
from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.cause import Complaint, Rank
from ramferry.control.migrate.domain_hands import DomainHands
from ramferry.control.migrate.domain_watch import DomainWatch, arrived, last_info
from ramferry.control.migrate.on_stall import OnStall
from ramferry.control.migrate.relays import Relays
from ramferry.control.migrate.steering import Steering
from ramferry.control.migrate.wish import Wish
from ramferry.errors import (
    Cancelled,
    MethodUnavailable,
    MigrationFailed,
    PeerTimeout,
    PeerUnreachable,
    RamferryError,
    UsageError,
)
from ramferry.metrics import RelayCounters

MOVE = Move("unix:///x", 8)
BY_CLIENT = "operation aborted: job 'migration out' canceled by client"


class Daemon:
    """One libvirt with at most one domain."""

    answers_within = 5.0

    def __init__(self, state: str) -> None:
        self.alive = True
        self.found = state
        self.silent = False
        self.aborts = True
        self.over = threading.Event()
        self.error: BaseException | None = None
        self.stats: Stats = {"memory_total": 100, "memory_remaining": 60}
        self.then: Callable[[], object] = lambda: None
        self.aborted = 0
        self.limits: list[int] = []
        self.refuses = False

    def state(self, _: str) -> str:
        if self.silent:
            raise PeerUnreachable("gone")
        if not self.found:
            raise UsageError("no such domain")
        return self.found

    def migrate(self, *_: object) -> None:
        assert self.over.wait(30)
        self.then()
        if self.error is not None:
            raise self.error

    def job(self, _: str) -> Stats:
        return self.stats

    def abort(self, _: str) -> None:
        self.aborted += 1
        if not self.aborts:
            raise MethodUnavailable("no job is active")
        self.error = MethodUnavailable(BY_CLIENT)
        self.over.set()

    def set_max_downtime(self, _: str, milliseconds: int) -> None:
        self.limits.append(milliseconds)
        if self.refuses:
            raise MethodUnavailable("no job is active")

    def suspend(self, _: str) -> None:
        if self.refuses:
            raise MethodUnavailable("it is busy")
        self.found = "paused"

    def close(self) -> None:
        """Nothing is open."""


class FakeRelays:
    """Two relays that complain as they are told."""

    choice = ""

    def __init__(self) -> None:
        self.said: list[Complaint] = []
        self.holds: Complaint | None = None
        self.left = False

    def complaints(self) -> list[Complaint]:
        return self.said

    def failing(self) -> Complaint | None:
        return self.holds

    def counters(self, _: str) -> RelayCounters | None:
        return None

    def delivered(self, _began: float) -> None:
        """Nobody has told."""

    def asked_for(self) -> float:
        return 0.0

    def wait_finished(self, _: float) -> None:
        """They have."""

    def let_be(self) -> list[str]:
        self.left = True
        return ["its relays wait"]


class Case:
    """One migration between two daemons."""

    def __init__(self, before: str = "running") -> None:
        self.near, self.far, self.relays = Daemon(before), Daemon("paused"), FakeRelays()
        self.before = before
        self.notes: list[str] = []
        self.hooks = Hooks(on_note=self.notes.append)
        self.samples = 0
        self.turn: Callable[[Stats], None] = lambda _: None
        self.wish = Wish("none", stall_seconds=0.05)

    def fails(self, error: RamferryError, near: str = "running", far: str = "") -> Self:
        """The job fails, and leaves these states."""

        def leave() -> None:
            self.near.found, self.far.found = near, far

        self.near.error, self.near.then = error, leave
        self.near.over.set()
        return self

    def run(self, timeout: float | None = None) -> DomainWatch:
        ends = [
            DomainEnd(uri, "guest", lambda _, one=one: cast("Connection", one))  # type: ignore[misc]
            for uri, one in (("near", self.near), ("far", self.far))
        ]
        relays = cast("Relays", self.relays)
        hands = DomainHands(ends[0], self.hooks.on_note)
        steering = Steering(self.wish, hands, self.hooks.on_note, told=False)
        watch = DomainWatch(ends[0], ends[1], self.before, relays, self.hooks, steering)

        def every(stats: Stats) -> None:
            self.samples += 1
            self.turn(stats)

        watch.run(MOVE, timeout, every)
        return watch


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    for name in ("POLL_SECONDS", "GRACE_SECONDS", "MOMENT_SECONDS", "LAST_WORDS_SECONDS"):
        monkeypatch.setattr(domain_watch, name, 0.01)
    for name in ("NEAR_SECONDS", "FAR_SECONDS"):
        monkeypatch.setattr(domain_watch, name, 0.3)
    return Case()


def test_it_completes(case: Case) -> None:
    seen: list[Any] = []
    case.hooks = replace(case.hooks, on_sample=seen.append)
    case.turn = lambda _: case.near.over.set()
    watch = case.run()
    assert watch.last == case.near.stats
    assert (seen[0].total_bytes, seen[0].remaining_bytes) == (100, 60)
    assert case.notes == []


def test_libvirts_own_refusal(case: Case) -> None:
    case.fails(MethodUnavailable("cannot migrate domain: it has host devices"))
    with pytest.raises(MigrationFailed) as caught:
        case.run()
    assert str(caught.value) == (
        "the migration failed: libvirt says: cannot migrate domain: it has host devices; the guest"
        " runs at the source"
    )


def test_a_relays_cause_comes_first(case: Case) -> None:
    case.relays.said = [Complaint(Rank.RELAY_DIED, "the source relay ended: killed by signal 9")]
    case.fails(MethodUnavailable("Unable to write to socket: Broken pipe"))
    with pytest.raises(MigrationFailed) as caught:
        case.run()
    assert str(caught.value) == (
        "the migration failed: the source relay ended: killed by signal 9; the guest runs at the"
        " source (libvirt says: Unable to write to socket: Broken pipe)"
    )


def test_a_relay_that_reaches_nobody(case: Case) -> None:
    case.relays.said = [Complaint(Rank.UNREACHED, "the source relay ended: nobody accepts at x")]
    case.fails(MethodUnavailable("Connection reset by peer"))
    with pytest.raises(
        PeerUnreachable, match=r"nobody accepts at x; the guest runs at the source$"
    ):
        case.run()


def test_a_relay_that_died_has_the_job_aborted(case: Case) -> None:
    case.relays.said = [Complaint(Rank.RELAY_DIED, "the source relay ended: killed")]
    case.far.found = ""
    with pytest.raises(MigrationFailed, match="failed: the source relay ended: killed; the guest"):
        case.run()
    assert case.near.aborted == 1


HOLDS = Complaint(Rank.RELAY_SAW, "the source relay says: main broke")


@pytest.mark.parametrize("died", [False, True])
def test_a_relay_that_holds_the_source_has_the_job_aborted_at_once(
    case: Case, monkeypatch: pytest.MonkeyPatch, died: bool
) -> None:
    """Also where the far relay's end was seen before the near one says that it holds the source."""
    monkeypatch.setattr(domain_watch, "GRACE_SECONDS", 1e9)
    case.far.found = ""
    last = Complaint(Rank.RELAY_SAW, "the source relay ended: main broke")
    far = Complaint(Rank.RELAY_DIED, "the destination relay ended: killed")
    case.relays.said = [far] if died else []

    def turn(_: Stats) -> None:
        assert case.near.aborted == 0
        case.relays.holds = HOLDS if case.samples > 1 else None

    case.turn = turn
    # once the source has ended its connections, the relay that held them ends
    case.near.then = lambda: case.relays.said.append(last)
    with pytest.raises(MigrationFailed) as caught:
        case.run()
    assert (case.near.aborted, case.samples) == (1, 2)
    told = f"{far.clause}; the guest runs at the source ({last.clause})" if died else None
    told = told or f"{last.clause}; the guest runs at the source"
    assert str(caught.value) == f"the migration failed: {told}"


def test_what_a_relay_said_that_held_the_source_is_told_if_it_says_no_more(case: Case) -> None:
    case.far.found, case.relays.holds = "", HOLDS
    with pytest.raises(MigrationFailed) as caught:
        case.run()
    assert str(caught.value) == (
        f"the migration failed: {HOLDS.clause}; the guest runs at the source"
    )


@pytest.mark.parametrize("by", ["signal", "timeout"])
def test_it_is_cancelled(case: Case, by: str) -> None:
    case.far.found = ""
    if by == "signal":
        case.turn = lambda _: case.hooks.stop.set()
    said = {"signal": "cancelled; ", "timeout": "cancelled, not finished within 0.05 s; "}[by]
    with pytest.raises(Cancelled) as caught:
        case.run(0.05 if by == "timeout" else None)
    assert str(caught.value) == f"{said}the guest runs at the source"


def test_a_job_that_has_not_begun_is_aborted_later(case: Case) -> None:
    case.near.aborts, case.far.found = False, ""
    case.hooks.stop.set()

    def turn(_: Stats) -> None:
        case.near.aborts = case.samples > 3

    case.turn = turn
    with pytest.raises(Cancelled):
        case.run()
    assert case.near.aborted >= 3


def test_it_was_too_late(case: Case) -> None:
    case.near.aborts = False
    case.hooks.stop.set()
    case.turn = lambda _: case.near.over.set() if case.near.aborted else None
    case.run()
    assert case.notes[-1] == "too late to end the migration (cancelled)"


def test_somebody_else_aborts(case: Case) -> None:
    case.relays.said = [Complaint(Rank.RELAY_SAW, "the source relay ended: the source ended it")]
    case.fails(MethodUnavailable(BY_CLIENT))
    with pytest.raises(Cancelled, match=r"^someone aborted libvirt's job; the guest runs at"):
        case.run()


def test_the_destinations_libvirt_is_lost(case: Case) -> None:
    def lose(_: Stats) -> None:
        case.far.alive, case.far.silent = False, True

    case.turn = lose
    with pytest.raises(MigrationFailed) as caught:
        case.run()
    assert str(caught.value) == (
        "the migration failed: the destination's libvirt was lost; the guest runs at the source;"
        " the destination's libvirt does not answer: see that the guest does not run there"
    )


@pytest.mark.parametrize(
    ("near", "far", "said"),
    [
        (None, "", "the source's libvirt does not answer, and the destination has no such domain"),
        ("shut off", "running", "the guest runs at the destination"),
        ("paused", "paused", "the guest stands still: the source is paused, the destination pau"),
    ],
)
def test_what_is_not_decided(case: Case, near: str | None, far: str, said: str) -> None:
    case.fails(PeerUnreachable("the libvirt at near was lost: End of file"), near or "", far)
    if near is None:
        case.near.then = lambda: (
            setattr(case.near, "silent", True),
            setattr(case.far, "found", ""),
        )
    with pytest.raises(PeerTimeout, match=said) as caught:
        case.run()
    assert "libvirt says: the libvirt at near was lost: End of file" in str(caught.value)


@pytest.mark.parametrize("insists", [True, False])
def test_a_job_that_does_not_end(
    case: Case, monkeypatch: pytest.MonkeyPatch, insists: bool
) -> None:
    monkeypatch.setattr(domain_watch, "UNDO_SECONDS", 0.5)
    case.near.aborts = False
    case.near.found = "paused"
    case.hooks.stop.set()
    if insists:
        case.hooks.insist.set()
    with pytest.raises(PeerTimeout, match=r"^cancelled; libvirt's job has not ended \d\.\d s late"):
        case.run()
    assert case.relays.left
    case.near.over.set()


def test_a_bug_leaves_no_job_behind(case: Case) -> None:
    def turn(_: Stats) -> None:
        raise ZeroDivisionError

    case.turn = turn
    with pytest.raises(ZeroDivisionError):
        case.run()
    assert case.near.aborted == 1


def test_what_libvirts_library_breaks_of_is_raised(case: Case) -> None:
    case.near.error = MemoryError("libvirt takes no parameter x")
    case.near.over.set()
    with pytest.raises(MemoryError):
        case.run()


def test_a_paused_guest_arrives_paused() -> None:
    assert arrived("running", "running")
    assert arrived("paused", "paused")
    assert arrived("pmsuspended", "pmsuspended")
    assert not arrived("running", "paused")
    assert not arrived("running", None)
    assert not arrived("paused", "shut off")


def test_a_result_without_statistics() -> None:
    assert last_info({}, 900) == {
        "status": "completed",
        "total-time": 900,
        "ram": {"page-size": 4096, "normal": 0, "duplicate": 0},
    }
    assert last_info({"time_elapsed": 70, "memory_normal": 3}, 900)["total-time"] == 70


def test_a_domain_is_told_how_long_it_may_stand_still(case: Case) -> None:
    case.turn = lambda _: case.near.over.set() if case.near.limits else None
    case.run()
    assert case.near.limits == [30]


def test_that_libvirt_does_not_take_it_is_said_once(case: Case) -> None:
    case.near.refuses = True
    case.turn = lambda _: case.near.over.set() if case.near.limits else None
    case.run()
    assert case.notes == [
        "libvirt does not take how long the guest may stand still: no job is active"
    ]


def stalls(case: Case, on_stall: OnStall) -> None:
    """Its rounds do not become smaller; it is over once a note tells what was done."""
    case.wish = replace(case.wish, on_stall=on_stall, downtime_limit_ms=1)
    rounds = 0

    def turn(_: Stats) -> None:
        nonlocal rounds
        rounds += 1
        case.near.stats = {
            "memory_total": 1 << 30,
            "memory_remaining": 1 << 29,
            "memory_iteration": rounds,
            "memory_normal": rounds * 1000,
        }
        if case.notes:
            case.near.over.set()

    case.turn = turn
    case.run()


@pytest.mark.parametrize(
    ("on_stall", "said"),
    [
        (OnStall.PAUSE, "libvirt has stopped the guest for the rest, and lets it go on where it"),
        (OnStall.THROTTLE, "has had auto-converge on from the beginning"),
        (OnStall.WAIT, "waiting on, since it may yet end"),
    ],
)
def test_a_domain_stalls(case: Case, on_stall: OnStall, said: str) -> None:
    stalls(case, on_stall)
    (note,) = case.notes
    assert said in note
    assert case.near.found == ("paused" if on_stall is OnStall.PAUSE else "running")


def test_a_domain_that_stalls_is_cancelled(case: Case) -> None:
    case.far.found = ""
    with pytest.raises(Cancelled, match=r"^cancelled, as the migration stalls: .* source$"):
        stalls(case, OnStall.CANCEL)
    assert case.near.aborted == 1


def test_that_a_domain_was_not_stopped_is_said(case: Case) -> None:
    case.near.refuses = True
    case.notes = Refusals(case.notes)
    case.hooks = replace(case.hooks, on_note=case.notes.append)
    stalls(case, OnStall.PAUSE)
    assert case.notes[-1].endswith("; libvirt was to stop the guest for the rest: it is busy")


class Refusals(list[str]):
    """Notes without those of the limit, of which a refusing daemon gives one too."""

    def append(self, note: str) -> None:
        if not note.startswith("libvirt does not take"):
            super().append(note)
