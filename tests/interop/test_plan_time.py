"""``ramferry plan time`` against real QEMUs: what it reads, and whether what it says comes true."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from migrating import MIB, Pair, run_state, status, two_qemus, until

from ramferry.bench import boot_sector
from ramferry.bench.fill import fill
from ramferry.bench.qemu import Qemu
from ramferry.bench.rig import Rig
from ramferry.control.migrate.callbacks import Hooks
from ramferry.control.migrate.route import RelayMode, Wish
from ramferry.control.plan.guest_memory import qemu_memory
from ramferry.control.qemu.end import open_end
from ramferry.units import rate

pytestmark = pytest.mark.interop

MEMORY = 128 * MIB
MOVED = 192 * MIB
LINK = 30_000_000
"""A quarter of what two cores carry, so that other load does not make them the limit."""
TRIES = 3
"""Measurements of 2 s; a QEMU that stands still for half a second of one measures too little."""
BOTH = pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
STOCK = pytest.mark.parametrize("pair", ["stock"], indirect=True)


def plan(where: object, *arguments: object, code: int = 0, link: object = LINK) -> Any:
    """Run the command; its document, or its sentence where it is to fail."""
    command = [sys.executable, "-m", "ramferry", "plan", "time", str(where), "--link", link]
    ended = subprocess.run(
        [*map(str, command), "--one-host", "--json", "-", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    return json.loads(ended.stdout) if code == 0 else ended.stderr


@pytest.mark.timed
@pytest.mark.slow  # a timed comparison: whatever else runs on the host counts
@BOTH
def test_the_forecast_comes_true_where_the_link_decides(pair: Pair, tmp_path: Path) -> None:
    with Rig(pair.source, pair.destination, MOVED) as rig:
        uri = rig.source.uri
        said = {one["method"]: one for one in plan(uri, "--scratch", tmp_path)["methods"]}
        assert list(said) == ["none", "zlib", "zstd", "qpl", "uadk", "qatzip"]
        assert not list(tmp_path.iterdir())
        for method in ("none", "zstd", "qatzip"):
            wish = Wish(method=method, max_bandwidth=LINK, relay=RelayMode.BOTH)
            came = rig.carry(wish, Hooks())
            assert said[method]["limited_by"] == "link"
            expected = said[method]["total_seconds"]["expected"]
            assert expected * 1000 == pytest.approx(came.total_time_ms, rel=0.25), method
            assert said[method]["wire_bytes"] == pytest.approx(came.wire_bytes, rel=0.1), method


@BOTH
@pytest.mark.parametrize(("machine", "memory"), [("pc", 3584 * MIB), ("q35", 3072 * MIB)])
def test_memory_on_both_sides_of_the_hole_is_read_in_its_place(
    pair: Pair, machine: str, memory: int
) -> None:
    """RAM above the hole begins at 4 GiB; where the one ends and the other begins is read."""
    offsets = np.random.default_rng(1).integers(MIB // 4096, memory // 4096, 24) * 4096
    with (
        Qemu(pair.source, memory, machine=machine) as qemu,
        open_end("source", qemu.uri) as end,
        qemu_memory(end, None) as (total, read),
    ):
        assert total == pytest.approx(memory, abs=MIB)
        for number, at in enumerate(offsets.tolist(), 1):
            qemu.ram[at : at + 4096] = number
        for number, at in enumerate(offsets.tolist(), 1):
            # below 1 MiB a window is missing or ROM, at 4 GiB lies the firmware
            shifts = [shift * 128 * 1024 for shift in (-1, 0, 1, 2, 3) if at + shift * MIB < memory]
            assert bytes([number]) * 4096 in [read(at + shift, 4096) for shift in shifts]


@pytest.mark.timed
@BOTH
def test_the_guest_runs_on(pair: Pair) -> None:
    with Qemu(pair.source, MEMORY, boot=boot_sector.boot_sector(MEMORY, rate=20)) as qemu:
        qemu.qmp.execute("cont")
        until("the guest's first writes", lambda: boot_sector.state(qemu.ram).written > 0, 20)
        qemu.qmp.events()
        assert any(_measures(qemu, 20e6) for _ in range(TRIES))
        assert not [event for event in qemu.qmp.events() if event.name in ("STOP", "RESUME")]
        assert run_state(qemu) == "running"
        written = boot_sector.state(qemu.ram).written
        until("more writes", lambda: boot_sector.state(qemu.ram).written > written, 10)


def _measures(qemu: Qemu, rate: float) -> bool:
    """Whether the dirty rate that is measured is about this one."""
    said = plan(qemu.uri, "--methods", "zstd", "--measure-dirty", 2)
    print(f"measured: {said['dirty_rate']:.0f} bytes a second")
    return bool(said["dirty_rate"] == pytest.approx(rate, rel=0.3))


@STOCK
def test_a_paused_guest_and_its_ram_file_say_the_same(pair: Pair, tmp_path: Path) -> None:
    with Qemu(pair.source, MEMORY) as qemu:
        fill(qemu.ram)
        file = tmp_path / "ram"
        file.write_bytes(qemu.ram.tobytes())
        live, stored = (
            plan(where, "--methods", "qatzip", "--sample", "256M") for where in (qemu.uri, file)
        )
    assert live["notes"][0].startswith("the guest is prelaunch: while it runs")
    for document in (live, stored):
        assert document["sample"]["total_bytes"] == pytest.approx(MEMORY, rel=0.01)
    one, other = (document["methods"][1]["wire_bytes"] for document in (live, stored))
    assert one == pytest.approx(other, rel=0.02)


@STOCK
def test_a_qemu_that_may_not_write_there_says_so(pair: Pair) -> None:
    with Qemu(pair.source, MEMORY, paused=True) as qemu:
        # a folder that only exists for us
        sentence = plan(qemu.uri, "--scratch", "/proc/self/fdinfo", code=2)
        assert "cannot make a folder in /proc/self/fdinfo" in sentence
        assert "Traceback" not in sentence


@STOCK
def test_a_destination_has_no_guest_to_sample(pair: Pair) -> None:
    with two_qemus(pair, MEMORY) as (source, destination):
        sentence = plan(destination.uri, code=2)
        assert "waits for a guest (it is inmigrate): ask the source" in sentence
        assert status(source) == ""


@BOTH
def test_a_probe_of_the_link_leaves_a_qemu_that_waits_alone(pair: Pair, tmp_path: Path) -> None:
    """A TCP connection that comes and goes ends such a QEMU, so nobody may connect to try."""
    (tmp_path / "ram").write_bytes(bytes(MIB))
    with Qemu(pair.source, MEMORY, incoming=True) as qemu:
        qemu.qmp.execute("migrate-incoming", {"uri": "tcp:127.0.0.1:0"})
        (place,) = qemu.qmp.execute("query-migrate")["socket-address"]
        sentence = plan(tmp_path / "ram", code=3, link=f"probe:127.0.0.1:{place['port']}")
        assert "no probe answers" in sentence
        assert "a TCP connection would end a QEMU that waits there" in sentence
        assert qemu.alive
        assert run_state(qemu) == "inmigrate"


def test_the_link_is_probed_between_two_commands(tmp_path: Path) -> None:
    (tmp_path / "ram").write_bytes(bytes(MIB))
    command = [sys.executable, "-m", "ramferry", "plan", "link", "tcp:127.0.0.1:0"]
    far = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert far.stderr
    waiting = far.stderr.readline()
    link = waiting.rpartition("--link ")[2].rstrip("`\n")
    document = plan(tmp_path / "ram", link=link)
    said, _ = far.communicate(timeout=30)
    assert far.returncode == 0
    assert document["link_from"] == "probed"
    assert document["link_rate"] > 1e6
    assert f"{rate(document['link_rate'])} once it flowed" in said
    assert "8 connections from 127.0.0.1 to 127.0.0.1" in document["notes"][0]
