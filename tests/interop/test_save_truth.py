"""What a save says is so: of guests that sleep, stand still, are killed, or write too much."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from migrating import (
    CANCELLED,
    MIB,
    Pair,
    assert_same_ram,
    run_state,
    start_guest,
    status,
    until,
)
from qemu_faults import ALL_WELL

from ramferry.bench import boot_sector
from ramferry.bench.builtin import BuiltIn
from ramferry.bench.fill import LOW_MEMORY, fill
from ramferry.bench.qemu import Qemu

pytestmark = pytest.mark.interop

MEMORY = 64 * MIB
BOTH = pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
SLEEPS = (
    bytes.fromhex("ba0406 b80024 ef fa f4 ebfd".replace(" ", "")).ljust(510, b"\0") + b"\x55\xaa"
)
"""mov dx, 0x604; mov ax, 0x2400; out dx, ax; cli; hlt: SLP_EN with type 1 into PM1a_CNT is S3."""
S3 = ("-global", "PIIX4_PM.disable_s3=0")


def begun(*arguments: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "ramferry", *map(str, arguments)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def saving(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = begun("save", *arguments)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(*arguments: object) -> tuple[int, str]:
    process = begun(*arguments)
    _, words = process.communicate(timeout=90)
    return process.returncode, words


@BOTH
def test_memory_that_was_to_be_left_out_is_in_the_file(pair: Pair, tmp_path: Path) -> None:
    file = tmp_path / "state"
    shared = [{"capability": "x-ignore-shared", "state": True}]
    with Qemu(pair.source, MEMORY) as source:
        fill(source.ram)
        source.qmp.execute("migrate-set-capabilities", {"capabilities": shared})
        assert run("save", source.uri, file) == (0, "")
        assert shared[0] in source.qmp.execute("query-migrate-capabilities"), "set back"
        with Qemu(pair.destination, MEMORY, incoming=True) as destination:
            destination.ram[LOW_MEMORY:] = 0x5A
            code, words = run("restore", file, destination.uri)
            assert code == 0, words
            assert words in ALL_WELL
            assert_same_ram(source, destination)


@BOTH
def test_memory_that_is_not_plugged_needs_no_place(pair: Pair, tmp_path: Path) -> None:
    options = ("-object", "memory-backend-ram,id=vm0,size=64M", "-m", "size=64M,maxmem=1G")
    options += ("-device", "virtio-mem-pci,memdev=vm0,requested-size=0")
    with (
        Qemu(pair.source, MEMORY, options=options) as source,
        Qemu(pair.destination, MEMORY, options=options, incoming=True) as destination,
    ):
        assert run("save", source.uri, tmp_path / "state")[0] == 0
        assert run("restore", tmp_path / "state", destination.uri)[0] == 0
        assert_same_ram(source, destination)


@BOTH
def test_a_sleeping_guest_is_as_it_was(pair: Pair, tmp_path: Path) -> None:
    with Qemu(pair.source, MEMORY, boot=SLEEPS, options=S3) as source:
        source.qmp.execute("cont")
        until("the guest's sleep", lambda: run_state(source) == "suspended", 20)
        for file in ("one", "two"):
            code, words = run("save", source.uri, tmp_path / file, "--resume")
            assert code == 0, words
            if pair.source.version >= (9,):
                assert run_state(source) == "suspended"
                assert words in ALL_WELL
            else:  # it wakes whoever leaves; this guest goes to sleep again
                assert "wakes a suspended guest" in words
                until("the guest's next sleep", lambda: run_state(source) == "suspended", 20)


@BOTH
def test_a_paused_guest_stays_paused(pair: Pair, tmp_path: Path) -> None:
    with Qemu(pair.source, MEMORY) as source:
        fill(source.ram)
        code, words = run("save", source.uri, tmp_path / "state", "--resume")
        assert code == 0, words
        assert words in ALL_WELL
        assert status(source) in CANCELLED
        # 7.2 calls it postmigrate, whose `cont` lets it run
        assert run_state(source) == ("prelaunch" if pair.source.version >= (9,) else "postmigrate")


def test_a_guest_that_was_stopped_for_a_killed_save_goes_on(tmp_path: Path) -> None:
    with BuiltIn(512 * MIB, ["--fill", "generator"]) as source:
        slow = ("--method", "zlib", "--level", 9, "--channels", 1)
        with saving(source.uri, tmp_path / "state", "--stop", *slow) as save:
            until("the save", lambda: status(source) == "active", 20)
            assert run_state(source) == "paused"
            save.kill()
            until("the guest's going on", lambda: run_state(source) == "running", 20)
        assert list(tmp_path.iterdir()) == []


def test_a_guest_that_ends_in_the_middle(tmp_path: Path) -> None:
    with BuiltIn(512 * MIB, ["--fill", "generator"]) as source:
        slow = ("--method", "zlib", "--level", 9, "--channels", 1)
        with saving(source.uri, tmp_path / "state", *slow) as save:
            until("the save", lambda: status(source) == "active", 20)
            source.process.kill()
            _, words = save.communicate(timeout=20)
    assert (save.returncode, words) == (
        3,
        "ramferry: not saved: the QEMU ended while its guest was saved; there is no file, and the "
        "guest ended with its QEMU\n",
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "seconds",
    [3, *(pytest.param(seconds, marks=pytest.mark.slow) for seconds in (30, 300))],
)
@pytest.mark.timeout(480)
@pytest.mark.parametrize("pair", ["10.0"], indirect=True)
def test_a_save_that_stood_still_goes_on(pair: Pair, tmp_path: Path, seconds: int) -> None:
    """Ctrl-Z and fg: time in which nobody could answer is nobody's silence.

    The QEMU waits as long; a built-in guest gives up a far end that takes nothing for 60 s.
    """
    file = tmp_path / "state"
    boot = boot_sector.boot_sector(MEMORY, first=LOW_MEMORY, rate=None)
    with Qemu(pair.source, MEMORY, boot=boot) as source:
        source.qmp.execute("migrate-set-parameters", {"downtime-limit": 1})  # which nothing fits
        start_guest(source)
        with saving(source.uri, file, "--timeout", 60) as save:
            _stand_still_and_go_on(source, save, seconds)
            _, words = save.communicate(timeout=60)
        assert save.returncode == 0, words
        assert run_state(source) == "postmigrate"
    assert "Traceback" not in words
    assert file.exists()


def _stand_still_and_go_on(source: Qemu, save: subprocess.Popen[str], seconds: int) -> None:
    # a guest that had to wait has written little meanwhile, and the rest of that would fit
    until("much to do", lambda: rounds(source) > 1 and remaining(source) > 8 * MIB, 30)
    save.send_signal(signal.SIGSTOP)
    time.sleep(seconds)  # what is tested
    # on a busy host the guest can have written so little that the rest of it fits
    assert status(source) in ("active", "device")
    save.send_signal(signal.SIGCONT)
    seen = rounds(source)
    until("more rounds", lambda: rounds(source) > seen or status(source) != "active", 30)
    source.qmp.execute("stop")  # the way that the save's note names


def rounds(source: Qemu) -> int:
    return int(source.qmp.execute("query-migrate").get("ram", {}).get("dirty-sync-count", 0))


def remaining(source: Qemu) -> int:
    """Bytes of memory that this round has still to send."""
    return int(source.qmp.execute("query-migrate").get("ram", {}).get("remaining", 0))


def test_a_guest_that_writes_faster_than_it_is_saved_is_stopped(tmp_path: Path) -> None:
    memory = 32 * MIB
    busy = ("--workload", "random", "--rate", "200M", "--changed", "4096")
    slow = ("--method", "zlib", "--level", 9, "--channels", 1)
    with BuiltIn(memory, busy) as source:
        code, words = run("save", source.uri, tmp_path / "state", "--stop-after", 2, *slow)
        assert (code, run_state(source)) == (0, "postmigrate"), words
        counter = source.state()["counter"]
    assert "2 rounds did not bring the save nearer to its end, so the guest was stopped" in words
    with BuiltIn(memory, ["--incoming", "defer"]) as target:
        assert run("restore", tmp_path / "state", target.uri)[0] == 0
        assert target.state()["counter"] >= counter
