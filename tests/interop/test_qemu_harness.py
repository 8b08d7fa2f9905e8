"""The harness itself, on QEMUs that migrate to one another without Ramferry."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from migrating import (
    MIB,
    PAGE,
    Pair,
    assert_guest_goes_on,
    assert_same_ram,
    listen,
    migrate,
    start_guest,
    two_qemus,
    until,
    wait_arrived,
)

from ramferry.bench import boot_sector
from ramferry.bench.fill import fill
from ramferry.bench.qemu import Qemu, accelerator, find_qemus
from ramferry.errors import HostError

pytestmark = pytest.mark.interop

MEMORY = 64 * MIB
STOCK = pytest.mark.parametrize("pair", ["stock"], indirect=True)


@pytest.mark.parametrize("method", ["none", "zlib", "zstd"])
def test_filled_ram_arrives(pair: Pair, method: str) -> None:
    with two_qemus(pair, MEMORY) as (source, destination):
        fill(source.ram)
        migrate(source, listen(destination, method, 2), method, 2)
        wait_arrived(destination)
        assert_same_ram(source, destination)


def test_guest_under_load_arrives_and_goes_on(pair: Pair) -> None:
    boot = boot_sector.boot_sector(MEMORY, rate=100)
    with two_qemus(pair, MEMORY, boot=boot) as (source, destination):
        start_guest(source)
        before = boot_sector.state(source.ram)
        migrate(source, listen(destination, "zstd", 2), "zstd", 2)
        wait_arrived(destination)
        verdict = boot_sector.verify(destination.ram)
        assert verdict.ok, verdict
        assert verdict.checked == (MEMORY - boot_sector.FIRST) // PAGE
        assert verdict.state.written > before.written
        assert_same_ram(source, destination)
        assert_guest_goes_on(destination)


@STOCK
def test_a_stale_page_of_a_real_guest_is_found(pair: Pair) -> None:
    boot = boot_sector.boot_sector(MEMORY, rate=None)
    with Qemu(pair.source, MEMORY, boot=boot) as qemu:
        start_guest(qemu)
        qemu.qmp.execute("stop")
        page = slice(MEMORY - PAGE, MEMORY)
        kept, passes = qemu.ram[page].copy(), boot_sector.verify(qemu.ram).generation
        qemu.qmp.execute("cont")
        until(
            "another pass", lambda: boot_sector.state(qemu.ram).written * PAGE > passes * MEMORY, 30
        )
        qemu.qmp.execute("stop")
        assert boot_sector.verify(qemu.ram).ok
        qemu.ram[page] = kept
        assert boot_sector.verify(qemu.ram).bad == (MEMORY // PAGE - 1,)


@STOCK
@pytest.mark.timed
@pytest.mark.parametrize("rate", [4, 100])
def test_guest_keeps_its_rate(pair: Pair, rate: float) -> None:
    with Qemu(pair.source, MEMORY, boot=boot_sector.boot_sector(MEMORY, rate=rate)) as qemu:
        qemu.qmp.execute("cont")
        until("the guest's start", lambda: boot_sector.state(qemu.ram).beats > 10, 10)
        begin = boot_sector.state(qemu.ram)
        until("a second", lambda: boot_sector.state(qemu.ram).beats >= begin.beats + 100, 20)
        end = boot_sector.state(qemu.ram)
        seconds = (end.beats - begin.beats) / boot_sector.TICKS_PER_SECOND
        assert (end.written - begin.written) * PAGE / seconds / 1e6 == pytest.approx(rate, rel=0.1)


@STOCK
def test_idle_guest_writes_nothing(pair: Pair) -> None:
    with Qemu(pair.source, MEMORY, boot=boot_sector.boot_sector(MEMORY)) as qemu:
        fill(qemu.ram)
        quiet = qemu.ram[MIB : MEMORY - 17 * MIB]  # the firmware works below and above
        before = quiet.copy()
        qemu.qmp.execute("cont")
        until("the guest's ticks", lambda: boot_sector.state(qemu.ram).beats > 20, 10)
        assert (quiet == before).all()
        assert boot_sector.state(qemu.ram).written == 0


@pytest.mark.parametrize("boot", [b"", boot_sector.boot_sector(MEMORY)], ids=["paused", "running"])
def test_kvm_carries_what_it_can(pair: Pair, boot: bytes) -> None:
    """QEMU itself says which accelerator took the guest."""
    with Qemu(pair.source, MEMORY, boot=boot) as qemu:
        answer = qemu.qmp.execute("query-kvm")
        assert answer["enabled"] == (accelerator(runs=bool(boot)) == "kvm")
        assert answer["enabled"] or bool(boot) or not os.access("/dev/kvm", os.W_OK)


@STOCK
def test_nothing_is_left(pair: Pair, tmp_path: Path) -> None:
    with Qemu(pair.source, MEMORY, ram_folder=tmp_path) as qemu:
        folder, pid = qemu.folder, qemu.pid
        assert not list(tmp_path.iterdir())
        assert qemu.alive
    assert not folder.exists()
    assert not Path(f"/proc/{pid}").exists()


@STOCK
def test_qemu_dies_with_whoever_started_it(pair: Pair) -> None:
    script = (
        "import os, sys; from pathlib import Path; from ramferry.bench.qemu import Qemu, qemu_at\n"
        "with Qemu(qemu_at(Path(sys.argv[1])), 64 << 20) as qemu:\n"
        "    print(qemu.folder, qemu.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(pair.source.path)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == -9, answer.stderr
    folder, pid = answer.stdout.split()
    until("QEMU's end", lambda: not Path(f"/proc/{pid}").exists(), 20)
    # another process's start may have swept it by now
    shutil.rmtree(folder, ignore_errors=True)


@STOCK
def test_a_qemu_that_does_not_start_says_why(pair: Pair, tmp_path: Path) -> None:
    qemu = Qemu(pair.source, MEMORY, machine="pc-i440fx-99.9", ram_folder=tmp_path)
    with pytest.raises(HostError, match=r"did not start: .*unsupported machine type"):
        qemu.__enter__()
    assert not qemu.folder.exists()
    assert not list(tmp_path.iterdir())


@STOCK
def test_too_little_memory_is_told(pair: Pair) -> None:
    with (
        pytest.raises(HostError, match="MiB left, and the guest's RAM takes"),
        Qemu(pair.source, 1 << 50),
    ):
        pytest.fail("a petabyte was found")


@STOCK
def test_peers_are_found(pair: Pair, tmp_path: Path) -> None:
    for name in ("qemu-system-x86_64-0", "qemu-system-x86_64-1"):
        (tmp_path / name).symlink_to(pair.source.path)
    (tmp_path / "qemu-system-x86_64-broken").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "qemu-system-x86_64-broken").chmod(0o755)
    found = find_qemus({"PATH": "", "RAMFERRY_PEERS": str(tmp_path)})
    assert [binary.version for binary in found] == [pair.source.version]
    assert found[0].path == tmp_path / "qemu-system-x86_64-0"
