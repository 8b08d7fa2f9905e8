"""``ramferry save --disk-snapshot`` with real QEMUs: images and memory of one moment."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disk_writer import noted, on_disk, write_disk
from migrating import MIB, Pair, assert_same_ram, run_state, status, until

from ramferry.bench import boot_sector
from ramferry.bench.fill import LOW_MEMORY, fill
from ramferry.bench.qemu import Qemu
from ramferry.control.archive.callbacks import ArchiveHooks
from ramferry.control.archive.overlays import DiskSnapshot
from ramferry.control.archive.save import save
from ramferry.control.archive.wish import SaveWish
from ramferry.errors import Cancelled, HostError
from ramferry.transport.safefile import SafeFile

pytestmark = pytest.mark.interop

MEMORY = 64 * MIB
BOTH = pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
STOCK = pytest.mark.parametrize("pair", ["stock"], indirect=True)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ramferry", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=90, check=False)


def snapshotted(qemu: Qemu, file: Path, *options: object) -> dict[str, Any]:
    """Save with --disk-snapshot; the result."""
    ended = run("save", qemu.uri, file, "--disk-snapshot", "--json", "-", *options)
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def drive(image: Path, form: str = "raw", name: str = "data") -> list[str]:
    return ["-drive", f"file={image},format={form},if=virtio,id={name}"]


@contextmanager
def writing(pair: Pair, image: Path, *more: str) -> Iterator[Qemu]:
    """A guest that boots from ``image`` and writes to it."""
    options = [*drive(write_disk(image)), *more]
    with Qemu(pair.source, MEMORY, accel="tcg", options=options) as qemu:
        qemu.qmp.execute("cont")
        writes_on(qemu)
        yield qemu


def writes_on(qemu: Qemu) -> None:
    """See the guest complete some more writes."""
    before = noted(qemu.ram)
    until("more writes", lambda: noted(qemu.ram).written > before.counted + 20, 30)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files_of(qemu: Qemu) -> list[str]:
    """What the guest's disks are on."""
    return [disk["inserted"]["file"] for disk in qemu.qmp.execute("query-block")]


def setting(qemu: Qemu, name: str) -> bool:
    """A migration capability."""
    found = qemu.qmp.execute("query-migrate-capabilities")
    return next(bool(one["state"]) for one in found if one["capability"] == name)


def in_process(qemu: Qemu, file: Path, stop: threading.Event | None = None, **options: Any) -> None:
    wish = SaveWish(file, disk_snapshot=True, **options)
    hooks = ArchiveHooks(lambda *_: None, lambda _: None, stop or threading.Event())
    save(qemu.uri, wish, hooks)


@BOTH
def test_the_image_is_of_the_moment_of_the_save(pair: Pair, tmp_path: Path) -> None:
    image, copy, file = tmp_path / "disk", tmp_path / "copy", tmp_path / "state"
    with writing(pair, image) as source:
        image.chmod(0o640)
        (overlay,) = snapshotted(source, file)["overlays"]
        assert run_state(source) == "postmigrate"
        at_save = noted(source.ram)
        assert at_save.written <= on_disk(image) <= at_save.counted
        assert overlay["disk"] == "data"
        assert overlay["image"] == str(image)
        assert overlay["overlay"] == str(tmp_path / "disk.overlay-1.qcow2")
        assert Path(overlay["overlay"]).stat().st_mode & 0o777 == 0o640
        assert files_of(source) == [overlay["overlay"]]
        assert not setting(source, "pause-before-switchover")
        shutil.copy(image, copy)
        with Qemu(
            pair.destination, MEMORY, accel="tcg", incoming=True, options=drive(copy)
        ) as destination:
            ended = run("restore", file, destination.uri)
            assert ended.returncode == 0, ended.stderr
            if pair.source.version >= (9,):  # 7.2 under TCG loses updates of hot pages by itself
                assert_same_ram(source, destination)
            destination.qmp.execute("cont")
            writes_on(destination)
            destination.qmp.execute("stop")
            assert noted(destination.ram).written <= on_disk(copy) <= noted(destination.ram).counted
        before = digest(image)
        source.qmp.execute("cont")
        writes_on(source)
        assert digest(image) == before


@BOTH
def test_resume_with_a_disk_that_is_written(pair: Pair, tmp_path: Path) -> None:
    image, file = tmp_path / "disk", tmp_path / "state"
    with writing(pair, image) as source:
        result = snapshotted(source, file, "--resume")
        assert (result["run_state"], run_state(source)) == ("running", "running")
        before, count = digest(image), on_disk(image)
        writes_on(source)
        assert digest(image) == before
        assert noted(source.ram).written > count


@BOTH
def test_one_save_after_another_and_names_that_are_taken(pair: Pair, tmp_path: Path) -> None:
    image = tmp_path / "disk"
    names = [tmp_path / f"disk.overlay-{number}.qcow2" for number in (1, 2, 3, 4)]
    names[0].write_text("precious")
    names[2].symlink_to("nowhere")
    with writing(pair, image) as source:
        (first,) = snapshotted(source, tmp_path / "one", "--resume")["overlays"]
        (second,) = snapshotted(source, tmp_path / "two", "--resume")["overlays"]
        writes_on(source)
        assert (first["overlay"], second["overlay"]) == (str(names[1]), str(names[3]))
        assert (second["image"], second["image_node"]) == (str(names[1]), first["overlay_node"])
    assert names[0].read_text() == "precious"
    assert names[2].is_symlink()
    # with the source gone, the second save's image, an overlay itself, is a disk to restore with
    options = drive(names[1], "qcow2")
    with Qemu(pair.destination, MEMORY, accel="tcg", incoming=True, options=options) as destination:
        ended = run("restore", tmp_path / "two", destination.uri)
        assert ended.returncode == 0, ended.stderr
        destination.qmp.execute("cont")
        writes_on(destination)


@BOTH
def test_several_disks_of_a_paused_guest(pair: Pair, tmp_path: Path) -> None:
    """Also a node of ``-blockdev``, whose device has no name, and one that is read-only."""

    def disks(folder: Path) -> list[str]:
        return [
            *drive(folder / "one"),
            *("-blockdev", f"driver=file,node-name=two,filename={folder}/two"),
            *("-device", "virtio-blk,drive=two"),
            *("-drive", f"file={folder}/three,format=raw,if=virtio,readonly=on"),
        ]

    images, copies = tmp_path / "images", tmp_path / "copies"
    images.mkdir()
    for name in ("one", "two", "three"):
        write_disk(images / name)
    shutil.copytree(images, copies)
    with Qemu(pair.source, MEMORY, options=disks(images)) as source:
        fill(source.ram)
        found = snapshotted(source, tmp_path / "state")["overlays"]
        assert sorted(Path(one["overlay"]).name for one in found) == [
            "one.overlay-1.qcow2",
            "two.overlay-1.qcow2",
        ]
        with Qemu(pair.destination, MEMORY, incoming=True, options=disks(copies)) as destination:
            ended = run("restore", tmp_path / "state", destination.uri)
            assert ended.returncode == 0, ended.stderr
            assert_same_ram(source, destination)


@BOTH
def test_a_snapshot_that_qemu_refuses_leaves_all_as_it_was(pair: Pair, tmp_path: Path) -> None:
    image, other = tmp_path / "disk", write_disk(tmp_path / "other")
    with writing(pair, image, *drive(other, name="other")) as source:
        (tmp_path / "to").write_bytes(bytes(other.stat().st_size))
        mirror = {"job-id": "job", "device": "other", "target": f"{tmp_path}/to", "sync": "full"}
        more = {"format": "raw", "mode": "existing", "speed": 1}
        source.qmp.execute("drive-mirror", mirror | more)
        before = sorted(tmp_path.iterdir())
        ended = run("save", source.uri, tmp_path / "state", "--disk-snapshot", "--resume")
        assert ended.returncode == 5, ended.stderr
        assert "refuses transaction" in ended.stderr
        assert "there is no file, and the guest runs at the source" in ended.stderr
        assert "overlay" not in ended.stderr
        assert sorted(tmp_path.iterdir()) == before
        assert sorted(files_of(source)) == [str(image), str(other)]
        assert not setting(source, "pause-before-switchover")
        writes_on(source)


@BOTH
def test_a_failure_after_the_snapshot_tells_where_the_disks_are(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, file = tmp_path / "disk", tmp_path / "state"

    def full(_: SafeFile) -> None:
        raise HostError(f"cannot write {file}: No space left on device")

    monkeypatch.setattr(SafeFile, "give_name", full)
    with writing(pair, image) as source:
        with pytest.raises(HostError) as caught:
            in_process(source, file, resume=True)
        (block,) = source.qmp.execute("query-block")
        inserted = block["inserted"]
        sentence = str(caught.value)
        assert "No space left on device" in sentence
        assert "there is no file, and the guest runs at the source" in sentence
        assert f"on overlays, {inserted['file']} over {image} (device {inserted['node-name']}," in (
            sentence
        )
        assert not file.exists()
        before = digest(image)
        writes_on(source)
        assert digest(image) == before
        merge(source, sentence)
        assert files_of(source) == [str(image)]
        writes_on(source)
        source.qmp.execute("stop")
        assert noted(source.ram).written <= on_disk(image) <= noted(source.ram).counted


def merge(qemu: Qemu, sentence: str) -> None:
    """Do what the sentence says."""
    device, base = sentence.split("(device ")[1].split(")")[0].split(", base-node ")
    job = {"job-id": "merge", "device": device, "base-node": base}
    qemu.qmp.execute("block-commit", job)
    until("a job that is ready", lambda: qemu.qmp.execute("query-block-jobs")[0]["ready"], 20)
    qemu.qmp.execute("block-job-complete", {"device": "merge"})
    until("the end of the job", lambda: not qemu.qmp.execute("query-block-jobs"), 20)


@BOTH
def test_cancelled_while_the_qemu_waits_for_the_switchover(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, stop = tmp_path / "disk", threading.Event()
    monkeypatch.setattr(DiskSnapshot, "due", False)  # so that it waits
    with writing(pair, image) as source:

        def cancel() -> None:
            until("a source that waits", lambda: status(source) == "pre-switchover", 30)
            stop.set()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        with pytest.raises(Cancelled, match="there is no file, and the guest runs at the source"):
            in_process(source, tmp_path / "state", stop)
        canceller.join()
        assert (status(source), run_state(source)) == ("cancelled", "running")
        assert files_of(source) == [str(image)]
        writes_on(source)
    assert list(tmp_path.iterdir()) == [image]


THROTTLED = "driver=throttle,throttle-group=g,file.driver=file,file.filename={disk}"


@STOCK
@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["-drive", "driver=null-co,size=1M,if=none,id=x"], "not on an image file, but on json:"),
        (["-drive", "file={disk},format=raw,if=none,id=x,snapshot=on"], "not on an image file"),
        (
            ["-drive", "driver=raw,file.driver=file,file.filename={disk},offset=512,if=none,id=x"],
            "not on an image file",
        ),
        (
            ["-object", "throttle-group,id=g", "-drive", THROTTLED + ",if=none,id=x"],
            "not on an image file",
        ),
    ],
)  # fmt: skip
def test_what_is_no_image_file_is_refused_before_anything_changes(
    pair: Pair, tmp_path: Path, options: list[str], why: str
) -> None:
    disk = write_disk(tmp_path / "disk")
    options = [one.format(disk=disk) for one in options] + ["-device", "virtio-blk,drive=x"]
    with Qemu(pair.source, MEMORY, options=options) as source:
        questions = ("query-migrate-capabilities", "query-migrate-parameters", "query-migrate")
        before = [source.qmp.execute(one) for one in questions]
        ended = run("save", source.uri, tmp_path / "state", "--disk-snapshot", "--resume")
        assert ended.returncode == 2, ended.stderr
        assert "disk 'x' cannot be given an overlay" in ended.stderr
        assert why in ended.stderr
        assert [source.qmp.execute(one) for one in questions] == before
    assert list(tmp_path.iterdir()) == [disk]


KILLED = """
import os, signal, sys
from ramferry.control.archive.overlays import DiskSnapshot
from ramferry.cli import main
DiskSnapshot.take = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main()
"""


@BOTH
def test_killed_while_the_qemu_waits_for_the_switchover(pair: Pair, tmp_path: Path) -> None:
    image = tmp_path / "disk"
    with writing(pair, image) as source:
        line = [sys.executable, "-c", KILLED, "save", source.uri, str(tmp_path / "state")]
        ended = subprocess.run([*line, "--disk-snapshot"], timeout=60, check=False)
        assert ended.returncode == -signal.SIGKILL
        until("a cancelled save", lambda: status(source) == "cancelled", 30)
        until("settings as before", lambda: not setting(source, "pause-before-switchover"), 10)
        assert run_state(source) == "running"
        writes_on(source)
    assert list(tmp_path.iterdir()) == [image]


@STOCK
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_qemu_with_tls_set_is_refused(pair: Pair, tmp_path: Path, side: str) -> None:
    options = ["-object", f"tls-creds-anon,id=tls0,endpoint={side}"]
    with Qemu(pair.source, MEMORY) as plain:
        assert run("save", plain.uri, tmp_path / "state").returncode == 0
    incoming = side == "server"
    with Qemu(pair.source, MEMORY, incoming=incoming, options=options) as qemu:
        qemu.qmp.execute("migrate-set-parameters", {"tls-creds": "tls0"})
        ends = (tmp_path / "state", qemu.uri) if incoming else (qemu.uri, tmp_path / "another")
        ended = run("restore" if incoming else "save", *ends)
        assert ended.returncode == 4, ended.stderr
        assert "has tls-creds set" in ended.stderr
    assert not (tmp_path / "another").exists()


@contextmanager
def small(folder: Path, size: str) -> Iterator[list[str]]:
    """The beginning of a command that sees a file system of ``size`` at ``folder``.

    In a mount namespace of its own, which needs root, or a kernel that lets a user make one.
    """
    folder.mkdir()
    line = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    line += [f'mount -t tmpfs -o size={size} none {folder} && "$@"; echo $?; ls -A {folder}', "-"]
    tried = subprocess.run([*line, "true"], capture_output=True, text=True, check=False)
    if tried.stdout.split() != ["0"]:
        pytest.skip(f"no file system can be mounted here: {tried.stderr.strip()}")
    yield line


@BOTH
def test_a_full_file_system_leaves_no_file_and_a_running_guest(pair: Pair, tmp_path: Path) -> None:
    boot = boot_sector.boot_sector(MEMORY, first=LOW_MEMORY, rate=0.0)
    folder = tmp_path / "small"
    with small(folder, "8m") as line, Qemu(pair.source, MEMORY, boot=boot) as source:
        noise = np.random.default_rng(1).integers(0, 256, MEMORY - LOW_MEMORY, np.uint8)
        source.ram[LOW_MEMORY:] = noise
        source.qmp.execute("cont")
        line = [*line, sys.executable, "-m", "ramferry", "save", source.uri, f"{folder}/state"]
        ended = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert ended.stdout.split() == ["8"], ended.stderr  # the exit code, and no file
        note, sentence = ended.stderr.strip().splitlines()
        assert f"the file system of {folder}/state has 8 MiB left" in note
        assert "the guest uses up to 64 MiB" in note
        assert "No space left on device" in sentence
        assert "there is no file, and the guest runs at the source" in sentence
        assert run_state(source) == "running"
        beats = boot_sector.state(source.ram).beats
        until("a guest that runs", lambda: boot_sector.state(source.ram).beats > beats + 5, 10)
