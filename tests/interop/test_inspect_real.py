"""``ramferry inspect`` of what real QEMUs write: mapped-ram files, streams in gzip, virtio-mem."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from migrating import MIB, PAGE, Pair, run_state, status, until

from ramferry.bench.fill import LOW_MEMORY, fill
from ramferry.bench.qemu import Qemu

pytestmark = pytest.mark.interop

MEMORY = 64 * MIB
ON = {"state": True}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ramferry", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=90, check=False)


def inspected(path: Path) -> dict[str, object]:
    ended = run("inspect", path, "--json", "-")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, object] = json.loads(ended.stdout)
    return found


def ram_of(found: dict[str, object]) -> dict[str, int]:
    blocks = found["blocks"]
    assert isinstance(blocks, list)
    (ram,) = (block for block in blocks if block["name"] == "pc.ram")
    return ram  # type: ignore[no-any-return]


def migrated(qemu: Qemu, uri: str) -> None:
    qemu.qmp.execute("migrate", {"uri": uri})
    until("a migration to a file", lambda: status(qemu) == "completed", 30)


@pytest.mark.parametrize("pair", ["10.0"], indirect=True)  # 7.2 has no mapped-ram
@pytest.mark.parametrize("capabilities", [["mapped-ram"], ["mapped-ram", "multifd"]])
@pytest.mark.parametrize("offset", [0, 0x2345])
def test_a_mapped_ram_file_is_shown(
    pair: Pair, tmp_path: Path, capabilities: list[str], offset: int
) -> None:
    path = tmp_path / "mapped"
    with Qemu(pair.source, MEMORY) as source:
        fill(source.ram)
        content = np.count_nonzero(source.ram.reshape(-1, PAGE).any(axis=1))
        wanted = [{"capability": name, **ON} for name in capabilities]
        source.qmp.execute("migrate-set-capabilities", {"capabilities": wanted})
        migrated(source, f"file:{path},offset={offset:#x}")
        numbers = source.qmp.execute("query-migrate")["ram"]
    if offset:  # as behind libvirt's header: its places are the file's
        raw = bytearray(path.read_bytes())
        xml = offset - 92
        raw[:92] = (
            b"LibvirtQemudSave"
            + b"".join(number.to_bytes(4, "little") for number in (2, xml, 1, 6, 0))
            + bytes(56)
        )
        path.write_bytes(raw)
    found = inspected(path)
    ram = ram_of(found)
    assert (found["kind"], found["machine"]) == ("mapped-ram file", pair.source.machine)
    assert found["wrapping"] == (["a libvirt save image"] if offset else [])
    assert (ram["size"], ram["pages"]) == (MEMORY, content)
    assert ram["pages"] + ram["zero_pages"] == MEMORY // PAGE
    blocks = found["blocks"]
    assert isinstance(blocks, list)
    assert sum(block["pages"] for block in blocks) == numbers["normal"]
    path.write_bytes(path.read_bytes()[:-100_000])
    ended = run("inspect", path)
    assert ended.returncode == 7
    assert "pc.ram" in ended.stdout


@pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
def test_a_stream_that_gzip_took_is_shown(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "stream.gz"
    with Qemu(pair.source, MEMORY) as source:
        fill(source.ram)
        content = np.count_nonzero(source.ram.reshape(-1, PAGE).any(axis=1))
        migrated(source, f"exec:gzip -1 > {path}")
    until("a whole file", lambda: run("inspect", path).returncode == 0, 30)
    found = inspected(path)
    assert (found["kind"], found["wrapping"]) == ("main stream", ["gzip"])
    assert ram_of(found)["pages"] == content


@pytest.mark.parametrize("pair", ["stock", "10.0"], indirect=True)
def test_memory_that_is_not_plugged_in_is_not_missed(pair: Pair, tmp_path: Path) -> None:
    """QEMU sends no page of it: the file has every page that the guest has."""
    options = ("-m", f"{MEMORY // MIB}M,maxmem=1G,slots=2")
    options += ("-object", "memory-backend-ram,id=vmem0,size=256M")
    options += ("-device", "virtio-mem-pci,memdev=vmem0,requested-size=0")
    path = tmp_path / "state"
    with Qemu(pair.source, MEMORY, options=options) as source:
        source.ram[LOW_MEMORY:] = 7
        assert run("save", source.uri, path).returncode == 0
    found = inspected(path)
    blocks = found["blocks"]
    assert isinstance(blocks, list)
    (plugged,) = (block for block in blocks if block["name"].endswith("vmem0"))
    # nobody's memory yet: the save counts it as zeros
    assert plugged["pages"] == 0
    assert plugged["zero_pages"] * 4096 == plugged["size"] > 0
    with Qemu(pair.destination, MEMORY, options=options, incoming=True) as destination:
        ended = run("restore", path, destination.uri)
        assert ended.returncode == 0, ended.stderr
        assert run_state(destination) in ("paused", "prelaunch")
        assert (destination.ram[LOW_MEMORY:] == 7).all()
