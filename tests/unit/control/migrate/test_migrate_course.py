"""The course of a migration against scripted QEMUs: ends, refusals, and what is set back."""

import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import pytest

from fakes_clock import stopping
from fakes_qmp import COMPLETED, PARAMETERS, FakeQemu, Refused, Step
from ramferry.control.hosts.host import HERE
from ramferry.control.migrate import ending as ending_module
from ramferry.control.migrate import watch as watch_module
from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.cause import Complaint, Rank
from ramferry.control.migrate.course import _Course, migrate
from ramferry.control.migrate.relays import Relays
from ramferry.control.migrate.route import RelayMode, Route, Wish
from ramferry.control.qemu import asides as asides_module
from ramferry.control.qemu import end as end_module
from ramferry.errors import (
    Cancelled,
    HostError,
    MethodUnavailable,
    MigrationFailed,
    PeerTimeout,
    PeerUnreachable,
    RamferryError,
    UsageError,
)
from ramferry.forecast.eta import MigrationSample
from ramferry.metrics import MigrationResult

WISH = Wish("zstd", relay=RelayMode.NONE)
LONG = tuple(Step("active") for _ in range(2000))
"""More steps than any test waits for."""


@dataclass
class Stage:
    """Two fakes and everything that the migration between them says."""

    source: FakeQemu
    destination: FakeQemu
    stop: threading.Event
    routes: list[Route]
    samples: list[MigrationSample]
    notes: list[str]

    def migrate(self, wish: Wish = WISH, timeout: float | None = None) -> MigrationResult:
        hooks = Hooks(self.routes.append, self.samples.append, self.notes.append, self.stop)
        return migrate(self.source.uri, self.destination.uri, wish, hooks, timeout)


ENDED = "the destination has ended: start it again with -incoming defer before you repeat this"

Make = Callable[..., Stage]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(watch_module, "GRACE_SECONDS", 0.1)
    # a busy machine may stand still for a part of this: what ends after it is given up
    monkeypatch.setattr(watch_module, "UNDO_SECONDS", 2.0)
    monkeypatch.setattr(ending_module, "FOLLOW_SECONDS", 0.2)
    monkeypatch.setattr(end_module, "THROUGH_SECONDS", 0.1)


@pytest.fixture
def brief_asides(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a fake that is silent on purpose; who is slow only has the whole time."""
    monkeypatch.setattr(asides_module, "ASIDE_SECONDS", 0.3)


@pytest.fixture
def brief_resuming(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a source that does not resume its guest."""
    monkeypatch.setattr(ending_module, "RESUME_SECONDS", 0.2)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Make]:
    made: list[FakeQemu] = []

    def make(
        source: dict[str, Any] | None = None, destination: dict[str, Any] | None = None
    ) -> Stage:
        src = FakeQemu(tmp_path / "s", **(source or {}))
        made.append(src)
        dst = FakeQemu(tmp_path / "d", **{"run_state": "inmigrate", **(destination or {})})
        made.append(dst)
        src.peer = dst
        return Stage(src, dst, threading.Event(), [], [], [])

    yield make
    for fake in made:
        fake.close()


def test_completes(stage: Make) -> None:
    on = stage()
    row = on.migrate()
    assert (row.total_time_ms, row.downtime_ms, row.setup_time_ms) == (2000, 40, 5)
    assert (row.route, row.backend, row.level) == ("QEMU built-in", "QEMU 7.2.22 zstd", 1)
    assert row.send_cpu_percent is not None
    assert row.recv_cpu_percent is not None
    assert [sample.status for sample in on.samples] == ["setup", "active", "active"]
    assert on.routes[0].incoming == "tcp:127.0.0.1:0"


def test_order_of_commands_and_the_port_that_the_destination_chose(stage: Make) -> None:
    on = stage()
    on.migrate()
    assert on.source.commands() == [
        "migrate-set-capabilities",
        "migrate-set-parameters",
        "migrate",
        "migrate-set-capabilities",
        "migrate-set-parameters",
    ]
    assert ("migrate", {"uri": "tcp:127.0.0.1:4455"}) in on.source.executed
    # capabilities and parameters before it listens
    assert on.destination.commands()[:3] == [
        "migrate-set-capabilities",
        "migrate-set-parameters",
        "migrate-incoming",
    ]


def test_max_bandwidth_is_lifted_while_it_migrates_and_set_back(stage: Make) -> None:
    on = stage()
    on.migrate(replace(WISH, downtime_limit_ms=50))
    source = on.source
    assert source.set_to("migrate-set-parameters", "max-bandwidth") == [0, 134217728]
    assert source.set_to("migrate-set-parameters", "downtime-limit") == [20, 300]
    assert source.set_to("migrate-set-parameters", "multifd-channels") == [8, 2]
    assert source.set_to("migrate-set-capabilities", "multifd") == [True, False]
    assert source.set_to("migrate-set-capabilities", "return-path") == [True, False]


def assert_as_before(on: Stage) -> None:
    for fake in (on.source, on.destination):
        assert fake.parameters == PARAMETERS
        assert not any(fake.capabilities.values())


def test_both_are_as_before_after_success(stage: Make) -> None:
    on = stage()
    on.migrate()
    assert_as_before(on)
    assert on.notes == []


def test_capabilities_in_the_way_are_off_meanwhile(stage: Make) -> None:
    on = stage({"capabilities": {"xbzrle": True}})
    on.migrate()
    assert on.source.set_to("migrate-set-capabilities", "xbzrle") == [False, True]


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((Step("active"), Step("device"), COMPLETED), id="11.1 shows device"),
        pytest.param(
            (Step("active"), Step("a status to come"), COMPLETED),
            id="an unknown status is waited out",
        ),
    ],
)
def test_statuses_on_the_way(stage: Make, steps: tuple[Step, ...]) -> None:
    assert stage({"steps": steps}).migrate().total_time_ms == 2000


def test_a_guest_that_loses_writes_is_told_of(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeQemu, "_do_query_kvm", lambda _: {"enabled": False})
    on, doubts = stage(), list[str]()
    migrate(on.source.uri, on.destination.uri, WISH, Hooks(on_doubt=doubts.append))
    assert doubts == [
        "this guest runs without KVM, and QEMU 7.2.22 loses writes of such a guest in any live "
        "migration: stop it before it leaves"
    ]


def test_times_that_come_after_the_status_are_waited_for(stage: Make) -> None:
    early = Step("completed", "postmigrate", {"total-time": 0, "downtime": 0})
    row = stage({"steps": (Step("active"), early, early, COMPLETED)}).migrate()
    assert (row.total_time_ms, row.downtime_ms) == (2000, 40)


def test_pre_switchover_is_answered(stage: Make) -> None:
    on = stage({"steps": (Step("active"), Step("pre-switchover"), Step("device"), COMPLETED)})
    on.migrate()
    assert ("migrate-continue", {"state": "pre-switchover"}) in on.source.executed


def test_fails_with_the_words_of_both(stage: Make) -> None:
    failed = Step("failed", extra={"error-desc": "Unable to write to socket: Connection reset."})
    on = stage({"steps": (Step("active"), Step("failing"), failed)})
    with pytest.raises(MigrationFailed) as caught:
        on.migrate()
    assert str(caught.value) == (
        "the migration failed: the source says: Unable to write to socket: Connection reset;"
        " the guest runs at the source"
    )
    assert on.source.parameters == PARAMETERS


def test_a_paused_guest_stays_paused(stage: Make) -> None:
    on = stage({"run_state": "paused", "steps": (Step("failed"),)})
    with pytest.raises(MigrationFailed, match="the guest is at the source, paused as before"):
        on.migrate()


@pytest.mark.usefixtures("brief_resuming")
def test_a_source_that_does_not_resume_is_told_of(stage: Make) -> None:
    on = stage({"steps": (Step("failed", run_state="finish-migrate"),)})
    with pytest.raises(MigrationFailed, match="the source is finish-migrate, the destination"):
        on.migrate()


def test_two_running_copies_are_one_too_many(stage: Make) -> None:
    """SHUT was lost: the source resumes its guest, and the destination's runs already."""
    on = stage({"steps": (Step("active"), Step("failed"))})
    on.destination.run_state = "inmigrate"
    look = on.source._do_query_migrate

    def lose_shut() -> dict[str, Any]:
        reply = look()
        if reply.get("status") == "failed":
            on.destination.run_state = "running"
        return reply

    on.source._do_query_migrate = lose_shut  # type: ignore[method-assign]
    with pytest.raises(MigrationFailed, match=r"was stopped there"):
        on.migrate()
    assert on.destination.run_state == "paused"


def test_cancel(stage: Make) -> None:
    on = stage({"steps": LONG})
    threading.Thread(target=lambda: (on.source.migrating.wait(), on.stop.set())).start()
    with pytest.raises(Cancelled) as caught:
        on.migrate()
    assert str(caught.value) == "cancelled; the guest runs at the source"
    assert "migrate_cancel" in on.source.commands()
    assert on.source.parameters == PARAMETERS


def test_cancel_before_the_destination_listens(stage: Make) -> None:
    on = stage()
    on.stop.set()
    with pytest.raises(Cancelled, match="before the migration began; the guest runs at the source"):
        on.migrate()
    assert "migrate" not in on.source.commands()
    assert "migrate-incoming" not in on.destination.commands()
    assert_as_before(on)
    assert on.notes == []


def test_a_destination_that_listens_keeps_its_settings(stage: Make) -> None:
    """It may still receive: multifd must not be switched off under it."""
    on = stage({"refuses": {"migrate": "no"}})
    with pytest.raises(MigrationFailed):
        on.migrate()
    assert on.notes == [
        "the destination still listens, with the settings of this migration: end it, and start it"
        " again with -incoming defer before you repeat this"
    ]
    assert on.destination.capabilities["multifd"] is True
    assert on.source.parameters == PARAMETERS


def test_cancel_too_late_is_a_success_with_a_note(stage: Make) -> None:
    on = stage({"steps": LONG, "on_cancel": (Step("device"), COMPLETED)})
    threading.Thread(target=lambda: (on.source.migrating.wait(), on.stop.set())).start()
    assert on.migrate().total_time_ms == 2000
    assert on.notes == ["too late to end the migration (cancelled)"]


def test_timeout(stage: Make) -> None:
    on = stage({"steps": LONG})
    with pytest.raises(Cancelled, match=r"^cancelled, not finished within 0.05 s; the guest runs"):
        on.migrate(timeout=0.05)


def test_a_time_limit_counts_no_time_in_which_the_command_stood_still(
    stage: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = stage()
    stand_still = stopping(monkeypatch, watch_module)
    hooks = Hooks(on_sample=lambda _: stand_still())
    assert migrate(on.source.uri, on.destination.uri, WISH, hooks, timeout=60).total_time_ms == 2000


def test_cancelled_by_someone_else(stage: Make) -> None:
    on = stage({"steps": (Step("active"), Step("cancelling"), Step("cancelled"))})
    with pytest.raises(Cancelled, match="someone cancelled the migration at the source"):
        on.migrate()


def test_a_cancel_that_does_not_end_is_given_up(
    stage: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cancelling` can persist: then the truth is told, and nothing waits."""
    monkeypatch.setattr(watch_module, "UNDO_SECONDS", 1.0)
    on = stage({"steps": LONG, "on_cancel": tuple(Step("cancelling") for _ in range(2000))})
    with pytest.raises(
        PeerTimeout,
        match=r"is still cancelling [1-9]\d*\.\d s later, after migrate_cancel; the guest runs",
    ):
        on.migrate(timeout=0.02)


def test_a_second_signal_leaves_what_the_first_one_ends_its_moment(stage: Make) -> None:
    """What is said is what came of the first, not what was there before it was heeded."""
    on = stage({"steps": LONG, "on_cancel": (*[Step("device")] * 5, Step("cancelled"))})
    hooks = Hooks(stop=on.stop)
    threading.Thread(
        target=lambda: (on.source.migrating.wait(), on.stop.set(), hooks.insist.set())
    ).start()
    with pytest.raises(Cancelled, match=r"^cancelled; the guest runs at the source$"):
        migrate(on.source.uri, on.destination.uri, WISH, hooks)


def test_a_second_signal_leaves_what_cannot_be_ended(
    stage: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "UNDO_SECONDS", 30.0)
    monkeypatch.setattr(watch_module, "MOMENT_SECONDS", 0.1)
    on = stage({"steps": LONG, "on_cancel": LONG})
    hooks = Hooks(stop=on.stop)
    hooks.insist.set()
    threading.Thread(target=lambda: (on.source.migrating.wait(), on.stop.set())).start()
    late = r"is still active \d+\.\d s later, after migrate_cancel;"
    with pytest.raises(PeerTimeout, match=late):
        migrate(on.source.uri, on.destination.uri, WISH, hooks)


def test_the_destination_vanishes(stage: Make) -> None:
    on = stage({"steps": LONG})
    threading.Thread(target=lambda: (on.source.migrating.wait(), on.destination.close())).start()
    with pytest.raises(MigrationFailed) as caught:
        on.migrate()
    assert str(caught.value) == (
        "the migration failed: the destination QEMU ended; the guest runs at the source"
    )
    assert on.notes == [ENDED]
    assert "migrate_cancel" in on.source.commands()  # after its grace


@pytest.mark.usefixtures("brief_asides")
def test_a_destination_that_hangs_does_not_hang_the_end(stage: Make) -> None:
    """A lost channel silences a destination's monitor for good."""
    on = stage({"steps": (Step("active"), Step("failed", extra={"error-desc": "EOF"}))})
    look = on.destination._answer
    on.destination._answer = lambda connection, request: (  # type: ignore[method-assign]
        None if on.source.migrating.is_set() else look(connection, request)
    )
    with pytest.raises(MigrationFailed, match="the source says: EOF; the guest runs at the source"):
        on.migrate()
    assert on.source.parameters == PARAMETERS
    assert on.notes == [
        "the destination does not answer, and may still listen, with the settings of this"
        " migration: end it, and start it again with -incoming defer before you repeat this"
    ]


STANDS = (Step("active"), *[Step("device", "finish-migrate")] * 2000)
GAVE_UP = Complaint(Rank.RELAY_FOUND, "the source relay ended: nobody says where the guest is")


@pytest.fixture
def gave_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source's relay has not found out how the switchover ended, and there is a minute left."""
    monkeypatch.setattr(watch_module, "UNDO_SECONDS", 60.0)
    monkeypatch.setattr(Relays, "complaints", lambda _: [GAVE_UP])
    monkeypatch.setattr(Relays, "undecided", lambda _: GAVE_UP.clause)


@pytest.mark.usefixtures("gave_up")
def test_a_destination_that_was_seen_with_the_guest_is_named_and_nobody_waited_for(
    stage: Make,
) -> None:
    on = stage({"steps": STANDS})
    threading.Thread(
        target=lambda: (on.source.migrating.wait(), setattr(on.destination, "run_state", "running"))
    ).start()
    begun = time.monotonic()
    with pytest.raises(PeerTimeout) as caught:
        on.migrate()
    assert time.monotonic() - begun < 30
    assert str(caught.value) == (
        "the guest runs at the destination, and the source, which is finish-migrate, has not heard "
        f"of it: `quit` the source's QEMU ({GAVE_UP.clause})"
    )
    assert "migrate_cancel" not in on.source.commands()


@pytest.mark.usefixtures("gave_up")
def test_a_source_that_refuses_to_cancel_is_not_waited_for(stage: Make) -> None:
    """As a built-in guest does once its device state is out; the destination has ended."""
    on = stage({"steps": STANDS})

    def refuse() -> NoReturn:
        raise Refused("too late")

    on.source._do_migrate_cancel = refuse  # type: ignore[method-assign]
    threading.Thread(target=lambda: (on.source.migrating.wait(), on.destination.close())).start()
    begun = time.monotonic()
    with pytest.raises(PeerTimeout, match=r"where the guest is; the destination's QEMU has ended"):
        on.migrate()
    assert time.monotonic() - begun < 30


def test_relays_that_find_out_how_it_ended_have_their_time(
    stage: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than a migration has to end; it completes then."""
    monkeypatch.setattr(watch_module, "UNDO_SECONDS", 0.0)
    monkeypatch.setattr(Relays, "complaints", lambda _: [GAVE_UP])
    monkeypatch.setattr(Relays, "asked_for", lambda _: 30.0)
    stands = [Step("device", "finish-migrate")] * 60
    on = stage({"steps": (Step("active"), *stands, COMPLETED)})
    on.destination._do_query_status = lambda: {  # type: ignore[method-assign]
        "status": "running" if on.source.run_state == "postmigrate" else "inmigrate"
    }
    on.source._do_migrate_cancel = dict  # type: ignore[method-assign]
    on.migrate()
    assert any("too late to end the migration" in note for note in on.notes)


@pytest.mark.usefixtures("brief_asides")
def test_a_switchover_that_is_over_before_it_was_seen_leaves_its_doubt(stage: Make) -> None:
    """Main was lost in it, the source goes on, and the destination has perhaps the guest, too."""
    on = stage({"steps": (Step("active"), Step("failed", extra={"error-desc": "EOF"}))})
    look, ask = on.destination._answer, on.source._do_query_migrate

    def switch() -> dict[str, Any]:
        for name in ("STOP", "RESUME") if on.source.migrating.is_set() else ():
            stamp = {"seconds": 1, "microseconds": 0}
            on.source._send(on.source._connections[0], {"event": name, "timestamp": stamp})
        return ask()

    on.source._do_query_migrate = switch  # type: ignore[method-assign]
    on.destination._answer = lambda connection, request: (  # type: ignore[method-assign]
        None if on.source.migrating.is_set() else look(connection, request)
    )
    with pytest.raises(MigrationFailed, match="see that the guest does not run there"):
        on.migrate()


@pytest.mark.parametrize("status", ["none", "setup"])
def test_a_destination_that_listens_already_with_the_right_settings(
    stage: Make, status: str
) -> None:
    on = stage(
        destination={
            "listening": {"type": "inet", "host": "0.0.0.0", "port": "4466"},
            "capabilities": {"multifd": True, "return-path": True},
            "parameters": {"multifd-channels": 8, "multifd-compression": "zstd"},
        }
    )
    on.destination._last["status"] = status
    on.migrate()
    assert ("migrate", {"uri": "tcp:127.0.0.1:4466"}) in on.source.executed
    assert on.destination.commands() == []


def test_a_destination_that_could_not_listen_takes_no_second_address(stage: Make) -> None:
    """10.0 stays in setup and says "Illegal migration incoming state: setup"."""
    on = stage()

    def refuse(**_: object) -> NoReturn:
        on.destination._last = {"status": "setup"}
        raise Refused("Failed to bind socket")

    on.destination._do_migrate_incoming = refuse  # type: ignore[method-assign]
    with pytest.raises(HostError, match=r"bind socket; it takes no second .* it anew"):
        on.migrate()
    with pytest.raises(UsageError, match=r"listen where it could not, and .* second .* it anew"):
        on.migrate()


def test_a_guest_does_not_move_to_where_it_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the same QEMU: qmp:"):
        migrate(f"qmp:{tmp_path}/qmp", f"qmp:{tmp_path}/qmp", WISH, Hooks())


BLOCKED = ("the device is busy.", "so is the disk")


def test_a_source_that_is_blocked_leaves_the_destination_alone(stage: Make) -> None:
    on = stage({"blocked": BLOCKED})
    with pytest.raises(MethodUnavailable, match="cannot leave: the device is busy; so is the disk"):
        on.migrate()
    assert on.source.commands() == on.destination.commands() == []


MISFITS = [
    ({}, {"machine": "pc-i440fx-10.0"}, "pc-i440fx-7.2, and the destination is pc-i440fx-10.0"),
    ({"memory": 256 << 20}, {"memory": 128 << 20}, "256 MiB of memory.* 128 MiB.*-m 256M"),
    ({"dimms": {"m1": 1 << 20}}, {}, r"m1 \(1 MiB\), pc.ram .4 MiB., and the destination's is pc"),
    ({}, {"dimms": {"m1": 1 << 20}}, r"is pc.ram \(4 MiB\), and .* is m1 \(1 MiB\)"),
    ({"dimms": {"m": 1 << 20}}, {"dimms": {"m": 2 << 20}}, r"m \(1 MiB\).* m \(2 MiB\)"),
    ({"cpus": 4}, {"cpus": 2}, "has 4 vCPUs, and the destination 2: start it with -smp 4"),
    ({"machine": "ramferry-1"}, {}, "ramferry-1.* pc-i440fx-7.2: a built-in guest and a QEMU"),
    (
        {"uuid": str(UUID(int=1)), "capabilities": {"validate-uuid": True}},
        {"uuid": str(UUID(int=2))},
        f"{UUID(int=1)}, that of the destination is {UUID(int=2)}, .* validate-uuid",
    ),
]


@pytest.mark.parametrize(("source", "destination", "sentence"), MISFITS)
def test_a_destination_that_does_not_fit_is_not_touched(
    stage: Make, source: dict[str, Any], destination: dict[str, Any], sentence: str
) -> None:
    on = stage(source, destination)
    with pytest.raises(UsageError, match=sentence):
        on.migrate()
    assert on.source.commands() == on.destination.commands() == []


def test_what_two_qemus_do_not_tell_is_not_compared(stage: Make) -> None:
    on = stage({"machine": "pc-i440fx-9.9", "memory": 1 << 20, "refuses": SILENT})
    on.migrate()


SILENT = dict.fromkeys(
    ("qom-get", "query-memory-size-summary", "query-memory-devices", "query-uuid"), "not found"
)


FAILS = (Step("active"), Step("failed", extra={"error-desc": "EOF"}))


def test_a_destination_that_stayed_to_say_why_is_quoted_and_ended(stage: Make) -> None:
    on = stage({"steps": FAILS}, {"version": (10, 0, 2)})
    refused = Step("failed", extra={"error-desc": "Size mismatch: pc.rom: 0x20000 != 0x40000"})
    port = {"type": "inet", "host": "127.0.0.1", "port": "4455"}
    on.destination.arrives = (Step("setup", extra={"socket-address": [port]}), *(refused,) * 9)
    with pytest.raises(MigrationFailed, match=r"the destination says: Size mismatch: pc.rom: .*"):
        on.migrate()
    assert ("migrate-incoming", {"uri": "tcp:127.0.0.1:0", "exit-on-error": False}) in (
        on.destination.executed
    )
    assert on.destination.commands()[-1] == "quit"
    assert on.notes == [ENDED]


def test_a_destination_with_a_guest_is_not_ended(stage: Make) -> None:
    on = stage({}, {"version": (10, 0, 2)})
    on.migrate()
    assert "quit" not in on.destination.commands()


def test_an_older_destination_is_not_asked_to_stay(stage: Make) -> None:
    on = stage()
    on.migrate()
    assert ("migrate-incoming", {"uri": "tcp:127.0.0.1:0"}) in on.destination.executed


def test_a_destination_that_has_failed_before_takes_no_second_one(stage: Make) -> None:
    on = stage()
    on.destination._last = {"status": "failed", "error-desc": "load of migration failed: Bad"}
    with pytest.raises(UsageError, match=r"failed \(load .*: Bad, see its log\).*start it anew"):
        on.migrate()


def test_the_source_vanishes(stage: Make) -> None:
    on = stage({"steps": (Step("active"), Step("active", vanish=True))})
    with pytest.raises(PeerUnreachable, match="the source has ended, and the guest does not"):
        on.migrate()


def test_the_source_vanishes_while_the_destination_loads_the_guest(stage: Make) -> None:
    on = stage({"steps": (Step("active"), Step("active", vanish=True))})
    states = itertools.chain(["inmigrate"] * 15, itertools.repeat("running"))
    on.destination._do_query_status = lambda: {  # type: ignore[method-assign]
        "status": next(states),
        "running": False,
    }
    with pytest.raises(PeerUnreachable, match="source has ended; the guest runs at the dest"):
        on.migrate()


def test_the_destination_vanishes_after_it_took_the_guest(stage: Make) -> None:
    on = stage()
    on.source.peer = None
    look = on.source._do_query_migrate

    def then_end() -> dict[str, Any]:
        reply = look()
        if reply.get("status") == "completed":
            on.destination.close()
        return reply

    on.source._do_query_migrate = then_end  # type: ignore[method-assign]
    with pytest.raises(
        PeerUnreachable, match="accepted the guest, and then its QEMU ended; the sou"
    ):
        on.migrate()


def test_a_monitor_that_is_lost_is_no_qemu_that_ended(stage: Make) -> None:
    """Its connection breaks in the switchover; the destination has the guest and runs it."""
    on = stage()
    look = on.source._do_query_migrate

    def lose_the_monitor() -> dict[str, Any]:
        reply = look()
        if reply.get("status") == "completed":
            on.destination._connections[-1].shutdown(socket.SHUT_RDWR)
        return reply

    on.source._do_query_migrate = lose_the_monitor  # type: ignore[method-assign]
    assert on.migrate().total_time_ms == 2000
    assert len(on.destination._connections) == 2


@pytest.mark.usefixtures("brief_asides")
def test_a_destination_that_does_not_answer_is_none_that_ended(stage: Make) -> None:
    """Its monitor's connection broke, and whoever comes next is not greeted."""
    on = stage({"steps": (Step("active"), Step("failed", extra={"error-desc": "EOF"}))})
    over = threading.Event()

    def lose_the_monitor() -> None:
        on.source.migrating.wait()
        on.destination._talk = lambda _: over.wait() and None  # type: ignore[method-assign]
        on.destination._connections[-1].shutdown(socket.SHUT_RDWR)

    losing = threading.Thread(target=lose_the_monitor)
    losing.start()
    try:
        with pytest.raises(MigrationFailed, match="the source says: EOF; the guest") as caught:
            on.migrate()
    finally:
        over.set()
        losing.join()
    assert "ended" not in str(caught.value)


def test_settings_are_set_back_over_a_new_connection(stage: Make) -> None:
    """The monitor's was lost at the very end."""
    on = stage()

    hooks = Hooks(on_note=on.notes.append)
    hand_over = _Course._hand_over

    def handed_over(course: _Course) -> None:
        hand_over(course)
        on.source._connections[-1].shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + 5
        while course.source.connected:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Course, "_hand_over", handed_over)
        migrate(on.source.uri, on.destination.uri, WISH, hooks)
    assert on.source.parameters == PARAMETERS
    assert on.notes == []


def test_a_destination_that_never_says_it_has_the_guest(
    stage: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ramferry.control.migrate.course.HANDOVER_SECONDS", 0.1)
    on = stage()
    on.source.peer = None
    with pytest.raises(PeerTimeout, match=r"the destination is inmigrate after \d"):
        on.migrate()


def test_a_failing_caller_does_not_leave_a_migration_alone(stage: Make) -> None:
    on = stage({"steps": LONG})

    def broken(_: MigrationSample) -> None:
        raise BrokenPipeError

    hooks = Hooks(on_sample=broken)
    with pytest.raises(BrokenPipeError):
        migrate(on.source.uri, on.destination.uri, WISH, hooks)
    assert "migrate_cancel" in on.source.commands()
    assert on.source.parameters == PARAMETERS


@pytest.mark.parametrize(
    ("source", "destination", "error", "sentence"),
    [
        ({"run_state": "postmigrate"}, {}, UsageError, "in the right order"),
        ({"run_state": "inmigrate"}, {}, UsageError, "in the right order"),
        ({}, {"run_state": "running"}, UsageError, "start it with -incoming defer"),
        (
            {},
            {"listening": {"type": "inet", "host": "127.0.0.1", "port": "1"}},
            UsageError,
            "too late to set multifd, return-path, multifd-channels, multifd-compression",
        ),
        ({"methods": ("none",)}, {}, MethodUnavailable, "was built without zstd"),
        (
            {"refuses": {"migrate": "State blocked by non-migratable device '0000:00:02.0/vfio'"}},
            {},
            MigrationFailed,
            "non-migratable device '0000:00:02.0/vfio'; the guest runs at the source",
        ),
        (
            {},
            {"refuses": {"migrate-incoming": "Failed to find an available port: Address in use"}},
            HostError,
            "Address in use",
        ),
        (
            {"refuses": {"migrate-set-parameters": "Parameter 'multifd-channels' expects 1-255"}},
            {},
            MethodUnavailable,
            "expects 1-255",
        ),
    ],
)
def test_refusals_come_before_anything_moved(
    stage: Make,
    source: dict[str, Any],
    destination: dict[str, Any],
    error: type[RamferryError],
    sentence: str,
) -> None:
    on = stage(source, destination)
    with pytest.raises(error) as caught:
        on.migrate()
    assert sentence in str(caught.value)
    assert not on.source.migrating.is_set()


@pytest.mark.usefixtures("brief_resuming")
def test_a_source_that_kept_its_guest_in_postmigrate_is_told_how_to_go_on(stage: Make) -> None:
    # so QEMU 7.2 leaves a paused guest whose migration failed in its switchover
    on = stage({"steps": (Step("active"), Step("failed", "postmigrate")), "run_state": "paused"})
    with pytest.raises(MigrationFailed, match="the source is postmigrate, the destination"):
        on.migrate()
    with pytest.raises(UsageError, match="after a failed migration, with its guest: `cont` there"):
        on.migrate()


def test_a_file_where_the_destination_is_to_listen_is_kept(
    stage: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ramferry.control.hosts.host.process_of", lambda *_: os.getpid())
    path = tmp_path / "precious"
    path.write_text("data")
    on = stage()
    with pytest.raises(HostError, match=f"cannot listen on unix:{path}: the path exists"):
        on.migrate(replace(WISH, incoming=f"unix:{path}"))
    assert "migrate-incoming" not in on.destination.commands()
    assert on.destination.parameters == PARAMETERS


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(PeerUnreachable, match="no QEMU answers at"):
        migrate(f"qmp:{tmp_path / 'no'}", f"qmp:{tmp_path / 'none'}", WISH, Hooks())


def test_a_silent_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ramferry.control.qemu.qmp.Qmp.connect.__func__.__defaults__", (0.2, HERE))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "silent"))
        listener.listen(1)
        with pytest.raises(PeerUnreachable, match="sends no QMP greeting"):
            migrate(f"qmp:{tmp_path / 'silent'}", "qmp:/none", WISH, Hooks())


def test_no_directory_is_left(stage: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    stage().migrate()
    assert list(folder.iterdir()) == []
