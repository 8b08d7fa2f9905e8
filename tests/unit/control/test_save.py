"""The course of a save against a scripted QEMU: its order, its snapshot, and how it fails."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fakes_saving import PAUSE, UUID, SavingQemu
from ramferry.control import save as save_module
from ramferry.control.hooks import ArchiveHooks
from ramferry.control.overlays import DiskSnapshot
from ramferry.control.qmp import Qmp
from ramferry.control.save import SaveWish, save
from ramferry.errors import (
    Cancelled,
    HostError,
    MethodUnavailable,
    MigrationFailed,
    PeerTimeout,
    RamferryError,
    UsageError,
)
from ramferry.flows.archive.reader import Archive
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
    monkeypatch.setattr(save_module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(save_module, "LOOK_SECONDS", 0.01)
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
    assert Qmp.execute.__kwdefaults__ is not None
    monkeypatch.setitem(Qmp.execute.__kwdefaults__, "timeout", 0.3)
    stage = make("a", silent_on="transaction")
    sentence = stage.fails(MigrationFailed)
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
    assert result.guest_bytes > 0
    set_ = [
        asked for command, asked in stage.qemu.executed if command == "migrate-set-capabilities"
    ]
    assert {"capability": "multifd", "state": not spins} in set_[0]["capabilities"]
    assert stage.qemu.capabilities["multifd"] is spins, "set back as it was"
    with Archive(stage.file) as archive:
        # no channel tells the guest's UUID where there is none
        assert archive.directory.uuid == (UUID.replace("-", "") if spins else bytes(16).hex())
        assert archive.live > 0
