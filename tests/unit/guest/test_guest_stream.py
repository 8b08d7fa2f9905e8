"""What the built-in guest puts on the wire, read whole by ``ramferry inspect``'s parser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest

from fakes_tee import Tee
from ramferry.codec import METHODS
from ramferry.flows.inspection import inspect_folder
from ramferry.guest.settings import GuestSettings
from ramferry.guest.vm import BLOCK, Vm
from ramferry.guest.workload import Workload
from ramferry.transport.address import UnixAddress

MEMORY = 8 << 20
DEADLINE = 30.0


def until(true: Callable[[], bool]) -> None:
    deadline = monotonic() + DEADLINE
    while not true():
        assert monotonic() < deadline
        sleep(0.01)


@pytest.mark.parametrize("method", METHODS)
def test_a_busy_guests_stream_is_read_whole(tmp_path: Path, method: str) -> None:
    here = Vm(GuestSettings(MEMORY, Workload(20e6, "random", 256)))
    there = Vm(GuestSettings(MEMORY, Workload()), incoming=True)
    rng = np.random.default_rng(3)
    pages = here.ram.blocks[BLOCK].pages
    pages[:1500] = rng.integers(0, 64, (1500, 4096), dtype=np.uint8)
    here.set_parameters({"multifd-compression": method, "multifd-channels": 3})
    there.set_parameters({"multifd-channels": 3})
    there.migrate_incoming(UnixAddress(str(tmp_path / "in")))
    with Tee(tmp_path / "kept", tmp_path / "in") as tee:
        here.cont()
        # slow enough for the guest to write between the rounds
        here.set_parameters({"max-bandwidth": 20_000_000})
        here.migrate(tee.address)
        until(lambda: here.status == "completed" and there.state == "running")
    here.close()
    there.close()
    found = inspect_folder(tmp_path / "kept")
    assert found.fault == ""
    assert found.machine == "ramferry-1"
    assert found.method == method
    assert found.rounds > 2
    (block,) = found.blocks
    assert (block.name, block.size) == (BLOCK, MEMORY)
    assert block.pages + block.zero_pages - block.repeated == MEMORY // 4096
    assert block.repeated > 0
    assert [device.name for device in found.devices] == ["ramferry/workload"]
    assert sorted(channel.name for channel in found.channels) == [
        "main",
        "multifd 0",
        "multifd 1",
        "multifd 2",
    ]


@pytest.mark.parametrize(("asked", "most"), [("auto", 65536), ("packet", 524288)])
def test_a_guest_cuts_its_packets_into_members_as_it_was_told(
    tmp_path: Path, asked: str, most: int
) -> None:
    here = Vm(GuestSettings(MEMORY, Workload(), member_size=asked))
    there = Vm(GuestSettings(MEMORY, Workload()), incoming=True)
    here.ram.blocks[BLOCK].pages[:1024] = 7
    here.set_parameters({"multifd-compression": "qatzip"})
    there.migrate_incoming(UnixAddress(str(tmp_path / "in")))
    with Tee(tmp_path / "kept", tmp_path / "in") as tee:
        here.migrate(tee.address)
        until(lambda: here.status == "completed" and there.status == "completed")
    here.close()
    there.close()
    carried = b"".join(path.read_bytes() for path in (tmp_path / "kept").iterdir())
    sizes = [int.from_bytes(one, "little") for one in re.findall(rb"QZ\x08\0(.{4})", carried, re.S)]
    assert max(sizes) == most


def test_another_method_has_no_members_whatever_the_guest_was_told(tmp_path: Path) -> None:
    here = Vm(GuestSettings(MEMORY, Workload(), member_size="packet"))
    there = Vm(GuestSettings(MEMORY, Workload()), incoming=True)
    here.set_parameters({"multifd-compression": "zstd"})
    there.migrate_incoming(UnixAddress(str(tmp_path / "in")))
    here.migrate(UnixAddress(str(tmp_path / "in")))
    until(lambda: here.status == "completed" and there.status == "completed")
    here.close()
    there.close()
