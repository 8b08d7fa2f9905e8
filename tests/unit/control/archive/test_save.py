"""The course of a save against a scripted QEMU: its order, its snapshot, and how it fails."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fakes_qmp import FakeQemu, Refused
from fakes_saving import PAUSE, UUID, SavingQemu
from fakes_source import SETTLE, STALL
from fakes_wire import Script
from ramferry.control.archive import save as save_module
from ramferry.control.archive import saved_guest, saving
from ramferry.control.archive.callbacks import ArchiveHooks
from ramferry.control.archive.overlays import DiskSnapshot
from ramferry.control.archive.save import save
from ramferry.control.archive.wish import SaveWish
from ramferry.control.qemu.qmp import Qmp
from ramferry.errors import (
    Cancelled,
    HostError,
    MethodUnavailable,
    MigrationFailed,
    PeerTimeout,
    PeerUnreachable,
    RamferryError,
    RemoteProtocolError,
    UsageError,
)
from ramferry.flows.archive.reader import Archive
from ramferry.flows.receiver import Receiver
from ramferry.flows.settings import ReceiveSettings
from ramferry.metrics import ArchiveResult


@dataclass
class Stage:
    """One QEMU with disks, and where its guest is to be saved."""

    qemu: SavingQemu
    folder: Path
    stop: threading.Event = field(default_factory=threading.Event)
    notes: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "state"

    def save(self, **wish: Any) -> ArchiveResult:
        hooks = ArchiveHooks(lambda *_: None, self.notes.append, self.stop)
        return save(self.qemu.uri, SaveWish(self.file, "none", channels=2, **wish), hooks)

    def fails(self, kind: type[BaseException], **wish: Any) -> str:
        """Save, see it fail, and nothing but the guest as it was; the sentence."""
        with pytest.raises(kind) as caught:
            self.save(disk_snapshot=True, **wish)
        assert not self.file.exists() or self.file.read_text() == "somebody's"
        assert self.qemu.run_state == "running"
        assert not self.qemu.capabilities[PAUSE]
        return str(caught.value)

    def overlays(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("*.overlay-*"))


Make = Callable[..., Stage]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(saving, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(saving, "LOOK_SECONDS", 0.01)
    made: list[SavingQemu] = []

    def build(*disks: str, **options: Any) -> Stage:
        for disk in disks:
            (tmp_path / disk).write_bytes(bytes(512))
        images = tuple(tmp_path / disk for disk in disks)
        made.append(SavingQemu(tmp_path / "qmp", images, **options))
        return Stage(made[0], tmp_path)

    yield build
    for qemu in made:
        qemu.close()


def test_the_disks_are_snapshotted_while_the_guest_stands_still(make: Make) -> None:
    stage = make("a", "b")
    result = stage.save(disk_snapshot=True)
    told = stage.qemu.commands()
    first, *_, last = (index for index, name in enumerate(told) if name.endswith("capabilities"))
    assert first < told.index("migrate") < told.index("transaction")
    assert told[told.index("transaction") + 1] == "migrate-continue"
    assert told.index("migrate-continue") < last
    assert stage.qemu.set_to("migrate-set-capabilities", PAUSE) == [True, False]
    assert [(one.disk, one.image, one.overlay) for one in result.overlays] == [
        (f"disk{number}", str(stage.folder / name), str(stage.folder / f"{name}.overlay-1.qcow2"))
        for number, name in enumerate("ab")
    ]
    assert {one.overlay_node: one.overlay for one in result.overlays} == stage.qemu.files
    assert result.run_state == "postmigrate"
    with Archive(stage.file) as archive:
        assert archive.directory.machine == "pc-i440fx-7.2"


def test_resume_lets_the_guest_run_on_over_its_overlays(make: Make) -> None:
    stage = make("a")
    assert stage.save(disk_snapshot=True, resume=True).run_state == "running"
    assert stage.overlays() == ["a.overlay-1.qcow2"]


def test_resume_with_a_writable_disk_names_the_way(make: Make) -> None:
    stage = make("a")
    with pytest.raises(UsageError, match=r"writes to disk 'disk0'.* add --disk-snapshot"):
        stage.save(resume=True)
    assert stage.qemu.commands() == []


@pytest.mark.parametrize("disk_snapshot", [False, True])
def test_with_nothing_to_snapshot_the_qemu_does_not_wait(make: Make, disk_snapshot: bool) -> None:
    stage = make(*([] if disk_snapshot else ["a"]), capabilities={PAUSE: True})
    assert stage.save(disk_snapshot=disk_snapshot).overlays == ()
    assert stage.qemu.set_to("migrate-set-capabilities", PAUSE) == [False, True]
    assert not {"transaction", "migrate-continue"} & set(stage.qemu.commands())


def test_a_refused_snapshot_fails_the_save_and_leaves_no_overlay(make: Make) -> None:
    stage = make("a", "b", refuses={"transaction": "node is busy"})
    sentence = stage.fails(MigrationFailed)
    assert "refuses transaction: node is busy; there is no file, and the guest runs" in sentence
    assert "overlay" not in sentence
    assert stage.overlays() == []
    assert "migrate_cancel" in stage.qemu.commands()


def test_a_disk_that_has_another_node_by_now(make: Make) -> None:
    """As a block job of somebody else leaves it."""
    stage = make("a")
    other = stage.folder / "other"
    other.touch()

    def pivot() -> None:
        stage.qemu.files = {"node7": str(other)}

    stage.qemu.at_pause = pivot
    (overlay,) = stage.save(disk_snapshot=True).overlays
    assert (overlay.image, overlay.image_node) == (str(other), "node7")


def test_an_overlay_without_room_fails_the_save(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = make("a")

    def take(*_: object) -> None:
        raise HostError("cannot make a.overlay-1.qcow2: No space left on device")

    monkeypatch.setattr(DiskSnapshot, "take", take)
    assert "not saved: cannot make a.overlay-1.qcow2" in stage.fails(HostError)


def test_a_qemu_that_does_not_answer_may_be_on_overlays(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute = Qmp.execute

    def brief(qmp: Qmp, command: str, *arguments: Any, **limit: Any) -> Any:
        if command == "transaction":
            assert not limit
            limit = {"timeout": 0.3}
        return execute(qmp, command, *arguments, **limit)

    monkeypatch.setattr(Qmp, "execute", brief)
    stage = make("a", silent_on="transaction")
    sentence = stage.fails(PeerTimeout)
    assert "did not answer transaction within 0.3 s" in sentence
    assert "disks may be (see query-block) on overlays" in sentence
    assert stage.overlays() == ["a.overlay-1.qcow2"]  # which may be the guest's


def test_a_qemu_that_is_not_let_go_on_is_cancelled(make: Make) -> None:
    stage = make("a", refuses={"migrate-continue": "not in expected state"})
    sentence = stage.fails(MigrationFailed)
    assert "refuses migrate-continue" in sentence
    assert told_overlay(stage, sentence)


def test_a_file_that_cannot_be_after_the_snapshot(make: Make) -> None:
    stage = make("a")
    stage.qemu.at_pause = lambda: stage.file.write_text("somebody's")
    sentence = stage.fails(MigrationFailed, resume=True)
    assert "exists: --force replaces it" in sentence
    assert told_overlay(stage, sentence)


def told_overlay(stage: Stage, sentence: str) -> bool:
    """Whether it says where the disk is and how to merge it back."""
    ((node, file),) = stage.qemu.files.items()
    place = f"on overlays, {file} over {stage.folder / 'a'} (device {node}, base-node node0): "
    way = "QMP block-commit of each with these, then block-job-complete, merges it back"
    return place in sentence and sentence.endswith(way)


def test_a_guest_that_does_not_go_on_after_a_good_save(make: Make) -> None:
    stage = make("a", refuses={"cont": "no"})
    with pytest.raises(MethodUnavailable) as caught:
        stage.save(disk_snapshot=True, resume=True)
    assert stage.file.exists()
    assert told_overlay(stage, str(caught.value))


def test_cancelled_while_the_qemu_waits(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiskSnapshot, "due", False)
    stage = make("a")
    stage.qemu.at_pause = stage.stop.set
    sentence = stage.fails(Cancelled)
    assert sentence == "cancelled: there is no file, and the guest runs at the source"
    assert stage.qemu.commands().count("migrate_cancel") == 1


def test_an_unforeseen_end_leaves_no_qemu_waiting(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(DiskSnapshot, "take", take)
    stage = make("a")
    stage.fails(KeyboardInterrupt)
    assert "migrate_cancel" in stage.qemu.commands()


def test_a_disk_that_cannot_be_snapshotted_is_refused_before_anything_changes(make: Make) -> None:
    stage = make("a")
    stage.qemu.files["node1"] = "nbd://host/disk"
    stage.qemu._do_query_named_block_nodes = lambda **_: [  # type: ignore[method-assign]
        {"drv": "file", "file": str(stage.folder / "a")},
        {"drv": "nbd", "file": "nbd://host/disk"},
    ]
    sentence = stage.fails(UsageError)
    assert "disk 'disk1' cannot be given an overlay" in sentence
    assert stage.qemu.commands() == []


def test_tls_is_refused_before_anything_changes(make: Make) -> None:
    stage = make(parameters={"tls-creds": "tls0"})
    with pytest.raises(MethodUnavailable, match='`migrate_set_parameter tls-creds ""`'):
        stage.save()
    assert stage.qemu.commands() == []


def test_little_room_is_told_and_no_reason_to_refuse(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = make()
    monkeypatch.setattr(save_module, "room_note", lambda *_: "little room")
    stage.save()
    assert stage.notes == ["little room"]


def test_every_error_can_be_told_with_overlays(make: Make) -> None:
    """``told`` makes another of the same class from one sentence."""
    stage = make("a")
    (overlay,) = stage.save(disk_snapshot=True).overlays
    snapshot = DiskSnapshot(None, needed=False)  # type: ignore[arg-type]
    plain = PeerTimeout("silent")
    assert snapshot.told(plain) is plain
    snapshot.overlays = (overlay,)
    for kind in (HostError, MigrationFailed, Cancelled, PeerTimeout, MethodUnavailable):
        told: RamferryError = snapshot.told(kind("why"))
        assert type(told) is kind
        assert re.match(r"why; the guest's disks are on overlays, ", str(told))


@pytest.mark.parametrize("version", [(7, 2, 22), (8, 0, 5), (8, 1, 0), (10, 0, 13)])
def test_a_qemu_that_spins_on_its_channels_gets_none(
    make: Make, version: tuple[int, int, int]
) -> None:
    spins = version < (8, 1)
    stage = make(version=version, capabilities={"multifd": spins})
    result = stage.save()
    assert result.channels == 2
    assert result.normal_bytes > 0
    set_ = [
        asked for command, asked in stage.qemu.executed if command == "migrate-set-capabilities"
    ]
    assert {"capability": "multifd", "state": not spins} in set_[0]["capabilities"]
    assert stage.qemu.capabilities["multifd"] is spins, "set back as it was"
    with Archive(stage.file) as archive:
        # no channel tells the guest's UUID where there is none
        assert archive.directory.uuid == (UUID.replace("-", "") if spins else bytes(16).hex())
        assert archive.live > 0


# --- whether there is a file is what was found, not what was meant


def test_a_stop_while_the_file_goes_to_disk_leaves_none(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = make()
    real = os.fsync

    def fsync(fd: int) -> None:
        stage.stop.set()
        assert stage.qemu.stream_ended.wait(SETTLE), "the source's connections were reset"
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(Cancelled) as caught:
        stage.save()
    assert str(caught.value) == "cancelled: there is no file, and the guest runs at the source"
    assert list(stage.folder.glob("*state*")) == []


def test_a_stop_while_the_file_gets_its_name_is_too_late(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = make()
    real, heeded = os.fsync, threading.Event()

    def fsync(fd: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            stage.stop.set()
            assert heeded.wait(SETTLE)
        real(fd)

    def stop(receiver: Receiver, reason: str) -> None:
        real_stop(receiver, reason)
        receiver._loop.call(heeded.set)

    real_stop = Receiver.stop
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Receiver, "stop", stop)
    assert stage.save().run_state == "postmigrate"
    assert stage.notes == [f"too late to end the save (cancelled): {stage.file} is complete"]
    with Archive(stage.file) as archive:
        assert archive.live


@pytest.mark.parametrize(
    ("edit", "kind", "sentence"),
    [
        (lambda script: script.cut(script.find("end"), 3), MigrationFailed, "not saved: .*"),
        (
            lambda script: script.field(script.find("packet"), 0, "4s", b"odd!"),
            RemoteProtocolError,
            r"not saved: multifd \d packet \d+: expected .*",
        ),
        (lambda script: script.stop(script.find("payload"), 7), PeerTimeout, "not saved: .*"),
    ],
)
def test_each_kind_of_failure_keeps_its_exit_code(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    edit: Callable[[Script], object],
    kind: type[RamferryError],
    sentence: str,
) -> None:
    stage = make()
    stage.qemu.edit = edit
    monkeypatch.setattr(
        save_module, "ReceiveSettings", partial(ReceiveSettings, stall_timeout=STALL)
    )
    with pytest.raises(kind, match=sentence + "; there is no file, and the guest runs") as caught:
        stage.save()
    assert caught.value.exit_code == kind.exit_code
    assert not stage.file.exists()


@pytest.mark.parametrize(
    ("ends", "kind", "sentence"),
    [
        (
            {"status": "failed", "error-desc": "Failed to connect."},
            MigrationFailed,
            "not saved: the QEMU's migration failed: Failed to connect; there is no file, and ",
        ),
        (
            {"status": "cancelled"},
            Cancelled,
            "someone cancelled the migration at the QEMU: there is no file, and ",
        ),
    ],
)
def test_a_qemu_that_fails_is_not_one_that_was_cancelled(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    ends: dict[str, Any],
    kind: type[RamferryError],
    sentence: str,
) -> None:
    monkeypatch.setattr(saving, "LAST_WORDS_SECONDS", 0.1)
    stage = make()
    stage.qemu.ends = ends
    with pytest.raises(kind) as caught:
        stage.save()
    assert str(caught.value) == sentence + "the guest runs at the source"


def test_somebody_cancels_at_the_qemu(make: Make) -> None:
    stage = make("a")
    stage.qemu.at_pause = stage.qemu._do_migrate_cancel
    assert stage.fails(Cancelled).startswith("someone cancelled the migration at the QEMU: there")


def test_a_qemu_that_refuses_to_migrate_cannot_do_what_is_needed(make: Make) -> None:
    stage = make(refuses={"migrate": "State blocked by device"})
    with pytest.raises(MethodUnavailable, match="State blocked by device; there is no file, and"):
        stage.save()


def test_a_qemu_that_is_gone(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_guest, "GOING_SECONDS", 0.1)
    stage = make("a")
    stage.qemu.at_pause = lambda: FakeQemu.close(stage.qemu)
    with pytest.raises(PeerUnreachable) as caught:
        stage.save(disk_snapshot=True)
    assert str(caught.value) == (
        "not saved: the QEMU ended while its guest was saved; there is no file, and the guest "
        "ended with its QEMU"
    )


def test_a_qemu_that_is_gone_after_the_file_is_there(make: Make) -> None:
    stage = make(silent_on="query-nothing")
    stage.qemu.edit = lambda _: None
    real = stage.qemu._do_query_migrate

    def vanish() -> dict[str, Any]:
        if stage.file.exists():
            FakeQemu.close(stage.qemu)
            raise OSError
        return real()

    stage.qemu._do_query_migrate = vanish  # type: ignore[method-assign]
    with pytest.raises(PeerUnreachable, match=f"^{stage.file} is complete, but the QMP connection"):
        stage.save()


# --- a guest that does not come to an end


def test_a_guest_is_stopped_first_and_stands(make: Make) -> None:
    stage = make()
    result = stage.save(stop=True)
    told = stage.qemu.commands()
    assert told.index("stop") < told.index("migrate")
    assert "cont" not in told
    assert result.run_state == "postmigrate"
    assert result.downtime_ms is not None
    assert result.downtime_ms > 0


@pytest.mark.parametrize("fails", [False, True])
def test_a_guest_that_was_stopped_goes_on(make: Make, fails: bool) -> None:
    stage = make()
    if fails:
        stage.qemu.edit = lambda script: script.cut(script.find("end"), 3)
        with pytest.raises(MigrationFailed, match="there is no file, and the guest runs at"):
            stage.save(stop=True)
    else:
        stage.save(stop=True, resume=True)
    assert stage.qemu.commands().count("cont") == 1
    assert stage.qemu.run_state == "running"


def test_a_guest_runs_on_once_its_migration_is_finalized(make: Make) -> None:
    """QEMU says "completed" a moment before its run state does, and refuses `cont` until then."""
    stage = make()
    later = iter(["finish-migrate"] * 3)
    status, cont = stage.qemu._do_query_status, stage.qemu._do_cont

    def late() -> dict[str, Any]:
        state = next(later, None) if stage.file.exists() else None
        return {"status": state, "running": False} if state else status()

    def refused() -> dict[str, Any]:
        if next(later, None):
            raise Refused("Migration is not finalized yet")
        return cont()

    stage.qemu._do_query_status = late  # type: ignore[method-assign]
    stage.qemu._do_cont = refused  # type: ignore[method-assign]
    stage.save(resume=True)
    assert stage.qemu.run_state == "running"


def test_a_paused_guest_needs_no_stop(make: Make) -> None:
    stage = make(run_state="paused")
    stage.save(stop=True)
    assert not {"stop", "cont"} & set(stage.qemu.commands())


def test_a_guest_is_stopped_after_rounds_without_progress(make: Make) -> None:
    stage = make()
    stage.qemu.busy = True
    assert stage.save(stop_after=4).run_state == "postmigrate"
    assert "stop" in stage.qemu.commands()
    (note,) = stage.notes
    assert re.match(r"4 rounds did not bring .* so the guest was stopped: .* of RAM$", note)


def test_a_save_that_does_not_converge_says_so_once(make: Make) -> None:
    stage = make()
    stage.qemu.busy = True
    stage.qemu.edit = lambda _: None
    looks = 0

    def enough() -> None:
        nonlocal looks
        looks += bool(stage.notes)
        if looks > 20:
            stage.stop.set()

    hooks = ArchiveHooks(lambda *_: enough(), stage.notes.append, stage.stop)
    with pytest.raises(Cancelled):
        save(stage.qemu.uri, SaveWish(stage.file, "none", channels=2), hooks)
    (note,) = stage.notes
    assert re.match(r"the save does not come nearer to its end: the guest writes .* a second", note)
    assert all(option in note for option in ("--stop ", "--stop-after ROUNDS", "--timeout S"))


def test_a_save_that_does_not_converge_fills_no_disk(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ramferry.control.archive.saving.nearly_full", lambda _: True)
    stage = make()
    stage.qemu.busy = True
    stage.qemu.edit = lambda _: None
    with pytest.raises(HostError) as caught:
        stage.save()
    assert re.match(
        r"not saved: the save does not come nearer to its end, and the disk is nearly full: .*"
        r"--stop-after ROUNDS .*; there is no file, and the guest runs at the source$",
        str(caught.value),
    )


@pytest.mark.parametrize("stop", [False, True])
def test_a_guest_that_loses_writes_is_told_of(
    make: Make, monkeypatch: pytest.MonkeyPatch, stop: bool
) -> None:
    """QEMU 7.2 without KVM; one that stands still loses none."""
    monkeypatch.setattr(FakeQemu, "_do_query_kvm", lambda _: {"enabled": False})
    stage = make(version=(7, 2, 22))
    stage.save(stop=stop)
    told = [
        "this guest runs without KVM, and QEMU 7.2.22 loses writes of such a guest in any live "
        "migration: stop it before it leaves. The file may lack some of its writes: save it again "
        "with --stop"
    ]
    assert stage.notes == ([] if stop else told)


def test_a_save_takes_no_longer_than_it_may(make: Make) -> None:
    stage = make()
    stage.qemu.busy = True
    with pytest.raises(Cancelled) as caught:
        stage.save(timeout=0.5)
    assert str(caught.value) == (
        "cancelled, not finished within 0.5 s: there is no file, and the guest runs at the source"
    )


# --- a guest that did not run is as it was


@pytest.mark.parametrize("state", ["paused", "suspended", "prelaunch"])
@pytest.mark.parametrize("version", [(7, 2, 22), (10, 0, 13)])
def test_a_guest_that_does_not_run_is_given_back(
    make: Make, state: str, version: tuple[int, int, int]
) -> None:
    stage = make(run_state=state, version=version)
    assert stage.save(resume=True).run_state == state
    told = stage.qemu.commands()
    assert told.count("migrate_cancel") == 1
    assert "cont" not in told, "it would run, or QEMU 10.0 abort"
    assert stage.file.exists()
    asleep = state == "suspended" and version < (9,)
    assert len(stage.notes) == asleep


def test_a_sleeping_guest_that_is_left_saved_must_not_go_on(make: Make) -> None:
    stage = make(run_state="suspended")
    assert stage.save().run_state == "postmigrate"
    assert "--resume leaves it suspended" in stage.notes[0]


def test_memory_that_was_to_be_left_out_is_saved(make: Make) -> None:
    stage = make(capabilities={"x-ignore-shared": True})
    stage.save()
    assert stage.qemu.set_to("migrate-set-capabilities", "x-ignore-shared") == [False, True]


def test_memory_that_is_left_out_all_the_same_fails_it(make: Make) -> None:
    stage = make()
    stage.qemu.whole = False
    with pytest.raises(MigrationFailed, match=r"left out \d+ of the 256 pages of RAM block 'pc"):
        stage.save()
    assert not stage.file.exists()


def test_what_leaves_memory_out_or_no_socket_takes_is_switched_off(make: Make) -> None:
    stage = make(capabilities={"zero-copy-send": True}, parameters={"mode": "cpr-transfer"})
    stage.save()
    assert stage.qemu.set_to("migrate-set-parameters", "mode") == ["normal", "cpr-transfer"]
    assert stage.qemu.set_to("migrate-set-capabilities", "zero-copy-send") == [False, True]
