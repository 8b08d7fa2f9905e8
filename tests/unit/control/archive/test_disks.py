"""Which disks can be given an overlay beside their image, and what an operator hears of others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ramferry.control.archive.disks import Disk, disks_for_overlays
from ramferry.control.hosts import process as process_module
from ramferry.control.hosts.process import Process
from ramferry.control.qemu.end import QemuEnd
from ramferry.errors import HostError, UsageError


def block(file: str, *, drv: str = "raw", node: str = "n0", **more: Any) -> dict[str, Any]:
    inserted = {"node-name": node, "drv": drv, "file": file, "ro": False} | more
    return {"device": "vda", "inserted": inserted}


@dataclass
class Answers:
    """Stands for a QEMU in this process's own view of the files."""

    blocks: list[dict[str, Any]]
    protocol: str = "file"
    process: Process | None = field(default_factory=lambda: Process(os.getpid()))

    @property
    def party(self) -> SimpleNamespace:
        return SimpleNamespace(process=self.process)

    def execute(self, command: str, _: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        if command == "query-block":
            return self.blocks
        assert command == "query-named-block-nodes"
        files = {one["inserted"]["file"] for one in self.blocks if one.get("inserted")}
        return [{"drv": self.protocol, "file": file} for file in files]


def found(answers: Answers) -> tuple[Disk, ...]:
    return disks_for_overlays(cast(QemuEnd, answers))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.touch()
    return path


def test_what_the_guest_can_write_and_nothing_else(image: Path) -> None:
    answers = Answers(
        [
            block(str(image), drv="qcow2"),
            {**block(str(image), drv="qcow2"), "device": "another device on it"},
            block("/rom", node="n1", ro=True),
            {"device": "floppy"},
            {"device": "", "qdev": "/dev[3]", "inserted": block(str(image), node="n2")["inserted"]},
        ]
    )
    seen = Path(f"/proc/{os.getpid()}/root{image.resolve()}")
    first, second = found(answers)
    assert (first.node, first.image, first.seen) == ("n0", image, seen)
    assert (second.node, second.name) == ("n2", "/dev[3]")


def test_a_name_in_the_folder_of_the_qemu(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(image.parent)
    assert found(Answers([block(image.name)]))[0].image == image


def test_links_of_a_qemu_in_a_container_lead_inside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Followed as ours they would lead to another file, and to another folder for the overlay."""
    root = tmp_path / "proc" / str(os.getpid()) / "root"
    for folder in (root / "data", root / "vm", root / "pool"):
        folder.mkdir(parents=True)
    (root / "images").symlink_to("/data")
    (root / "data" / "disk.raw").touch()
    (root / "vm" / "link.raw").symlink_to("/pool/file.raw")
    (root / "pool" / "file.raw").touch()
    (root.parent / "cwd").symlink_to("/vm")
    monkeypatch.setattr(process_module, "PROC", str(tmp_path / "proc"))
    blocks = [block("/images/disk.raw"), block("link.raw", node="n1")]
    first, second = found(Answers(blocks))
    assert (first.image, first.seen) == (Path("/images/disk.raw"), root / "data" / "disk.raw")
    assert first.folder == root / "data"
    assert (second.image, second.seen) == (Path("/vm/link.raw"), root / "pool" / "file.raw")
    assert second.folder == root / "vm"


def test_no_disks_no_questions() -> None:
    assert found(Answers([{"device": "floppy"}])) == ()


@pytest.mark.parametrize(
    ("protocol", "disk", "why"),
    [
        ("nbd", block("nbd://host:10809/x"), "not on an image file, but on nbd://host:10809/x"),
        ("host_device", block("/dev/vg/disk"), "not on an image file, but on /dev/vg/disk"),
        ("file", block('json:{"driver": "raw"}', drv="throttle"), "not on an image file"),
        ("file", block("images/disk.raw"), "means another file in the folder"),
        ("file", block("/nowhere/disk.raw"), "/nowhere/disk.raw cannot be seen: No such file"),
        ("file", block("/dev/null"), "/dev/null is no regular file"),
    ],
)
def test_what_has_no_image_file_is_refused(protocol: str, disk: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError) as caught:
        found(Answers([disk], protocol))
    assert "disk 'vda' cannot be given an overlay: " in str(caught.value)
    assert why in str(caught.value)


def test_a_qemu_elsewhere_is_refused(image: Path) -> None:
    answers = Answers([block(str(image))], process=None)
    with pytest.raises(UsageError, match="cannot be seen from here"):
        found(answers)


def test_a_folder_that_may_not_be_written(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(HostError, match=r"beside .*disk\.raw: its folder may not be written"):
        found(Answers([block(str(image))]))
