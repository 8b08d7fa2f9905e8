"""Overlays' names and files: nothing is written over, nothing is left, nobody else may read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest

from ramferry.control.archive.disks import Disk
from ramferry.control.archive.overlays import DiskSnapshot
from ramferry.control.qemu.end import QemuEnd
from ramferry.errors import HostError, MethodUnavailable, PeerTimeout, RamferryError


class Answers:
    """A QEMU that takes a transaction, or fails it."""

    def __init__(self, error: RamferryError | None = None) -> None:
        self.error = error
        self.told: list[tuple[str, Any]] = []

    def execute(self, command: str, arguments: object) -> None:
        self.told.append((command, arguments))
        if self.error is not None:
            raise self.error


def snapshot(answers: Answers) -> DiskSnapshot:
    return DiskSnapshot(cast(QemuEnd, answers), needed=True)


def disks(*images: Path) -> tuple[Disk, ...]:
    return tuple(
        Disk(f"d{n}", f"node{n}", image, image, image.parent) for n, image in enumerate(images)
    )


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.touch()
    path.chmod(0o640)
    return path


def test_one_transaction_for_all(image: Path) -> None:
    other = image.with_name("other")
    other.touch()
    answers = Answers()
    taken = snapshot(answers)
    assert taken.due
    taken.take(disks(image, other))
    assert not taken.due
    first, second = taken.overlays
    ((command, arguments),) = answers.told
    assert command == "transaction"
    assert arguments["actions"][1] == {
        "type": "blockdev-snapshot-sync",
        "data": {
            "node-name": "node1",
            "snapshot-file": str(image.with_name("other.overlay-1.qcow2")),
            "snapshot-node-name": second.overlay_node,
            "format": "qcow2",
        },
    }
    assert first.overlay_node != second.overlay_node
    assert all(len(one.overlay_node) <= 31 for one in taken.overlays)  # QEMU takes no more
    status = Path(first.overlay).stat()
    assert status.st_mode & 0o777 == 0o640
    assert (status.st_uid, status.st_gid) == (image.stat().st_uid, image.stat().st_gid)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_overlay_has_the_owner_of_the_image(image: Path) -> None:
    os.chown(image, 12345, 54321)
    taken = snapshot(Answers())
    taken.take(disks(image))
    status = Path(taken.overlays[0].overlay).stat()
    assert (status.st_uid, status.st_gid) == (12345, 54321)


def test_a_name_that_is_taken_stays(image: Path) -> None:
    image.with_name("disk.raw.overlay-1.qcow2").write_text("precious")
    image.with_name("disk.raw.overlay-2.qcow2").symlink_to("nowhere")
    taken = snapshot(Answers())
    taken.take(disks(image))
    assert taken.overlays[0].overlay == str(image.with_name("disk.raw.overlay-3.qcow2"))
    assert image.with_name("disk.raw.overlay-1.qcow2").read_text() == "precious"
    assert not image.with_name("nowhere").exists()


def test_an_overlay_on_an_overlay_does_not_grow_its_name(image: Path) -> None:
    lower = image.with_name("disk.raw.overlay-7.qcow2")
    lower.touch()
    taken = snapshot(Answers())
    taken.take(disks(lower))
    assert taken.overlays[0].overlay == str(image.with_name("disk.raw.overlay-1.qcow2"))


def test_an_overlay_stands_beside_the_name_that_the_qemu_has(tmp_path: Path, image: Path) -> None:
    here = tmp_path / "as we see it"
    here.mkdir()
    disk = Disk("d", "n", Path("/vm/disk.raw"), image, here)
    taken = snapshot(Answers())
    taken.take((disk,))
    assert taken.overlays[0].overlay == "/vm/disk.raw.overlay-1.qcow2"
    assert (here / "disk.raw.overlay-1.qcow2").stat().st_mode & 0o777 == 0o640
    assert list(image.parent.glob("*overlay*")) == []


def test_a_refusal_leaves_no_file(image: Path) -> None:
    taken = snapshot(Answers(MethodUnavailable("busy")))
    with pytest.raises(MethodUnavailable):
        taken.take(disks(image))
    assert taken.overlays == ()
    assert list(image.parent.iterdir()) == [image]


def test_silence_leaves_what_the_guest_may_need(image: Path) -> None:
    taken = snapshot(Answers(PeerTimeout("silent")))
    with pytest.raises(PeerTimeout):
        taken.take(disks(image))
    assert Path(taken.overlays[0].overlay).exists()
    assert "the guest's disks may be" in str(taken.told(HostError("why")))


def test_an_owner_that_cannot_be_given_leaves_no_file(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    with pytest.raises(HostError, match=r"beside .*disk\.raw: Operation not permitted"):
        snapshot(Answers()).take(disks(image))
    assert list(image.parent.iterdir()) == [image]


def test_a_disk_that_gets_none_takes_the_others_with_it(image: Path) -> None:
    long = image.with_name("x" * 250)
    long.touch()
    answers = Answers()
    with pytest.raises(HostError, match=r"an overlay beside .*x: File name too long"):
        snapshot(answers).take(disks(image, long))
    assert answers.told == []
    assert sorted(image.parent.iterdir()) == sorted([image, long])
