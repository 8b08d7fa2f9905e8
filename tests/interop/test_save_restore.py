"""``ramferry save`` and ``restore`` with real QEMUs: the state arrives, or nothing is touched."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from migrating import (
    MIB,
    Pair,
    assert_guest_goes_on,
    assert_same_ram,
    run_state,
    start_guest,
    status,
    until,
)

from ramferry.bench import boot_sector
from ramferry.bench.fill import LOW_MEMORY, fill
from ramferry.bench.qemu import Qemu
from ramferry.errors import PeerUnreachable

pytestmark = pytest.mark.interop

MEMORY = 64 * MIB
BOTH = pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ramferry", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=90, check=False)


@contextmanager
def waiting(pair: Pair, *, memory: int = MEMORY, **options: object) -> Iterator[Qemu]:
    """A QEMU that waits for a guest and will not run it."""
    with Qemu(pair.destination, memory, incoming=True, **options) as qemu:  # type: ignore[arg-type]
        yield qemu


def saved(qemu: Qemu, file: Path, *options: object) -> None:
    ended = run("save", qemu.uri, file, *options)
    assert ended.returncode == 0, ended.stderr


@BOTH
@pytest.mark.parametrize(
    ("method", "channels"), [("zstd", 1), ("qatzip", 4), ("none", 2), ("zlib", 3), ("qpl", 16)]
)
def test_a_paused_guest_comes_back(pair: Pair, tmp_path: Path, method: str, channels: int) -> None:
    file = tmp_path / "state"
    uuid = ("-uuid", "00112233-4455-6677-8899-aabbccddeeff")  # both ends compare it
    with Qemu(pair.source, MEMORY, options=uuid) as source:
        fill(source.ram)
        saved(source, file, "--method", method, "--channels", channels)
        assert run_state(source) == "postmigrate"
        with waiting(pair, options=uuid) as destination:
            destination.ram[LOW_MEMORY:] = 0x5A  # zero pages are restored, not assumed
            ended = run("restore", file, destination.uri, "--channels", channels, "--json", "-")
            assert ended.returncode == 0, ended.stderr
            assert_same_ram(source, destination)
            assert run_state(destination) in ("paused", "prelaunch")
    result = json.loads(ended.stdout)
    assert (result["action"], result["method"]) == ("restored", method)
    assert result["backend"].startswith("QEMU") == (method == "zstd")
    assert result["file_bytes"] == file.stat().st_size
    assert file.stat().st_mode & 0o777 == 0o600


@BOTH
def test_a_running_guest_goes_on_where_it_stopped(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "state"
    written = MEMORY - 8 * MIB
    boot = boot_sector.boot_sector(MEMORY, first=written, rate=5)
    with Qemu(pair.source, MEMORY, boot=boot) as source:
        fill(source.ram[LOW_MEMORY:written])
        start_guest(source)
        saved(source, file)
        assert run_state(source) == "postmigrate"
        before = boot_sector.state(source.ram)
        with waiting(pair, boot=boot) as destination:
            ended = run("restore", file, destination.uri)
            assert ended.returncode == 0, ended.stderr
            if pair.source.version >= (9,):  # 7.2 under TCG loses updates of hot pages by itself
                assert_same_ram(source, destination)
            assert boot_sector.state(destination.ram).beats == before.beats
            if pair.source.version >= (9,):
                assert_guest_goes_on(destination)


@pytest.mark.parametrize("pair", ["10.0"], indirect=True)  # 7.2 under TCG loses updates by itself
def test_older_copies_in_a_busy_guests_file_are_not_restored(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "state"
    boot = boot_sector.boot_sector(MEMORY, first=LOW_MEMORY, rate=200)
    with Qemu(pair.source, MEMORY, boot=boot) as source:
        start_guest(source)
        saved(source, file)
        (ram,) = (
            block
            for block in json.loads(run("inspect", file, "--json", "-").stdout)["blocks"]
            if block["name"] == "pc.ram"
        )
        assert ram["repeated"] > 0
        with waiting(pair, boot=boot) as destination:
            ended = run("restore", file, destination.uri, "--json", "-")
            assert ended.returncode == 0, ended.stderr
            assert_same_ram(source, destination)
            assert_guest_goes_on(destination)
    assert json.loads(ended.stdout)["backend"] == "QEMU + zstd"


@BOTH
@pytest.mark.parametrize("running", [False, True])
def test_a_source_that_would_pause_before_the_switchover_does_not(
    pair: Pair, tmp_path: Path, running: bool
) -> None:
    boot = boot_sector.boot_sector(MEMORY, first=LOW_MEMORY, rate=0.0) if running else b""
    pause = [{"capability": "pause-before-switchover", "state": True}]
    with Qemu(pair.source, MEMORY, boot=boot) as source:
        if running:
            source.qmp.execute("cont")
        source.qmp.execute("migrate-set-capabilities", {"capabilities": pause})
        saved(source, tmp_path / "state")
        assert run_state(source) == "postmigrate"
        assert pause[0] in source.qmp.execute("query-migrate-capabilities")
    assert run("inspect", tmp_path / "state").returncode == 0


@pytest.mark.parametrize("pair", ["10.0"], indirect=True)
def test_a_source_that_would_wait_for_an_ack_does_not(pair: Pair, tmp_path: Path) -> None:
    """Nobody agrees to the switchover into a file; into a QEMU that would, it is no harm."""
    ack = [
        {"capability": "return-path", "state": True},
        {"capability": "switchover-ack", "state": True},
    ]
    with Qemu(pair.source, MEMORY) as source:
        source.qmp.execute("migrate-set-capabilities", {"capabilities": ack})
        saved(source, tmp_path / "state")
        assert run_state(source) == "postmigrate"
        assert all(one in source.qmp.execute("query-migrate-capabilities") for one in ack)
    with Qemu(pair.destination, MEMORY, incoming=True) as destination:
        destination.qmp.execute("migrate-set-capabilities", {"capabilities": ack})
        assert run("restore", tmp_path / "state", destination.uri).returncode == 0
        assert run_state(destination) == "prelaunch", "as it was saved"


@BOTH
def test_resume_lets_the_guest_run_on(pair: Pair, tmp_path: Path) -> None:
    boot = boot_sector.boot_sector(MEMORY, first=LOW_MEMORY, rate=0.0)
    with Qemu(pair.source, MEMORY, boot=boot) as source:
        source.qmp.execute("cont")
        saved(source, tmp_path / "state", "--resume")
        assert run_state(source) == "running"
        saved(source, tmp_path / "again", "--resume")


@pytest.mark.parametrize("pair", ["stock"], indirect=True)
def test_resume_is_refused_with_a_disk_that_is_written(pair: Pair, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    options = ("-drive", f"file={disk},format=raw,if=virtio,id=data")
    with Qemu(pair.source, MEMORY, options=options) as source:
        before = run_state(source)
        ended = run("save", source.uri, tmp_path / "state", "--resume")
        assert ended.returncode == 2
        assert "the guest writes to disk" in ended.stderr
        assert run_state(source) == before
    assert not (tmp_path / "state").exists()


@BOTH
@pytest.mark.parametrize("place", [0.05, 0.5, 0.93, 0.999])
def test_a_flipped_byte_is_found_before_the_guest_can_start(
    pair: Pair, tmp_path: Path, place: float
) -> None:
    file = tmp_path / "state"
    with Qemu(pair.source, MEMORY) as source:
        fill(source.ram)
        saved(source, file)
    raw = bytearray(file.read_bytes())
    raw[int(len(raw) * place)] ^= 0x10
    file.write_bytes(raw)
    with waiting(pair) as destination:
        ended = run("restore", file, destination.uri)
        assert ended.returncode == 7, ended.stderr
        assert "expected" in ended.stderr
        assert never_started(destination)


def never_started(destination: Qemu) -> bool:
    """Whether it still waits, or has ended, also right now."""
    try:
        return run_state(destination) == "inmigrate"
    except PeerUnreachable:
        return True


@pytest.mark.parametrize("pair", ["stock"], indirect=True)
def test_another_machine_is_refused_before_anything_is_sent(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "state"
    with Qemu(pair.source, MEMORY) as source:
        saved(source, file)
    with waiting(pair, machine="pc-i440fx-7.1") as destination:
        ended = run("restore", file, destination.uri)
        assert ended.returncode == 2
        assert "is of machine type pc-i440fx-7.2, and this QEMU is pc-i440fx-7.1" in ended.stderr
        assert run_state(destination) == "inmigrate"


@BOTH
def test_a_missing_device_is_refused_by_the_qemu(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "state"
    with Qemu(pair.source, MEMORY, options=("-device", "virtio-balloon-pci")) as source:
        saved(source, file)
    with waiting(pair) as destination:
        ended = run("restore", file, destination.uri)
        assert ended.returncode == 5, ended.stderr
        assert "see its log" in ended.stderr


@BOTH
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_save_that_is_ended_leaves_no_file_and_a_running_guest(
    pair: Pair, tmp_path: Path, number: signal.Signals
) -> None:
    file = tmp_path / "state"
    boot = boot_sector.boot_sector(MEMORY, first=LOW_MEMORY, rate=400)
    with Qemu(pair.source, MEMORY, boot=boot) as source:
        start_guest(source)
        line = [sys.executable, "-m", "ramferry", "save", source.uri, str(file)]
        line += ["--method", "zstd", "--level", "15"]
        with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
            until("an active save", lambda: status(source) == "active", 20)
            process.send_signal(number)
            process.communicate(timeout=30)
        assert process.returncode == (6 if number is signal.SIGINT else -number)
        until("a running guest", lambda: run_state(source) == "running", 10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pair", ["stock"], indirect=True)
def test_a_full_disk_leaves_no_file_and_a_running_guest(pair: Pair, tmp_path: Path) -> None:
    boot = boot_sector.boot_sector(MEMORY, first=LOW_MEMORY, rate=0.0)
    with Qemu(pair.source, MEMORY, boot=boot) as source:
        source.ram[LOW_MEMORY:] = np.random.default_rng(1).integers(
            0, 256, MEMORY - LOW_MEMORY, np.uint8
        )
        source.qmp.execute("cont")
        file = tmp_path / "state"
        limit = f"ulimit -f {MEMORY // 2 // 1024}; trap '' XFSZ; exec \"$@\""
        line = ["bash", "-c", limit, "-", sys.executable, "-m", "ramferry", "save", source.uri]
        ended = subprocess.run(
            [*line, str(file)], capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 8, ended.stderr
        assert "there is no file, and the guest runs at the source" in ended.stderr
        assert run_state(source) == "running"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pair", ["stock"], indirect=True)
def test_what_is_there_is_not_replaced_unasked(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_text("precious")
    with Qemu(pair.source, MEMORY) as source:
        assert run("save", source.uri, file).returncode == 2
        assert file.read_text() == "precious"
        saved(source, file, "--force")
        again = run("save", source.uri, tmp_path / "again")
        assert again.returncode == 2
        assert "is postmigrate: its guest was saved before" in again.stderr
    with waiting(pair) as destination:
        early = run("save", destination.uri, tmp_path / "early")
        assert early.returncode == 2
        assert "waits for a guest (it is inmigrate): there is none to save yet" in early.stderr
        assert run("restore", file, destination.uri).returncode == 0


@BOTH
def test_inspect_tells_of_a_real_save_and_a_real_stream(pair: Pair, tmp_path: Path) -> None:
    with Qemu(pair.source, MEMORY) as source:
        fill(source.ram)
        content = np.count_nonzero(source.ram.reshape(-1, 4096).any(axis=1))
        saved(source, tmp_path / "state")
        source.qmp.execute("cont")
        source.qmp.execute("stop")
        off = [{"capability": name, "state": False} for name in ("multifd", "return-path")]
        source.qmp.execute("migrate-set-capabilities", {"capabilities": off})
        source.qmp.execute("migrate", {"uri": f"exec:cat > {tmp_path}/stream"})
        until("a recorded stream", lambda: status(source) == "completed", 30)
    until("a whole file", lambda: run("inspect", tmp_path / "stream").returncode == 0, 30)
    for name, kind in (("state", "save file"), ("stream", "main stream")):
        ended = run("inspect", tmp_path / name, "--json", "-")
        assert ended.returncode == 0, ended.stderr
        found = json.loads(ended.stdout)
        assert (found["kind"], found["machine"]) == (kind, pair.source.machine)
        (ram,) = (block for block in found["blocks"] if block["name"] == "pc.ram")
        # the firmware runs between the two, in low memory
        assert content - 256 <= ram["pages"] - ram["repeated"] <= content + 256
        assert {"timer", "cpu", "globalstate"} <= {one["name"] for one in found["devices"]}
