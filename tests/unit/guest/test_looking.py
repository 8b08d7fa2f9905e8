"""Pieces of a guest's memory, where it is, and how fast it is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

from ramferry.control.plan.memory_map import Extent, parse_layout
from ramferry.guest.errors import MonitorError
from ramferry.guest.looking import DirtyRate, layout, save
from ramferry.ram.blocks import Ram

MIB = 1 << 20


@pytest.fixture
def ram() -> Iterator[Ram]:
    ram = Ram.create([("one", 2 * MIB), ("two", MIB)])
    for block in ram.blocks.values():
        block.pages[:, 0] = range(len(block.pages) % 256, len(block.pages) % 256 + 1)
        block.pages.reshape(-1)[:4] = list(block.name.encode().ljust(4))
    yield ram
    ram.close()


def test_the_layout_is_read_as_a_qemus(ram: Ram) -> None:
    assert parse_layout(layout(ram)) == (Extent(0, 2 * MIB), Extent(2 * MIB, MIB))


@pytest.mark.parametrize(
    ("start", "size"),
    [(0, 0), (0, 4), (2 * MIB - 2, 2), (2 * MIB - 2, 4), (2 * MIB, 4), (5, 3 * MIB - 5)],
)
def test_a_piece(ram: Ram, tmp_path: Path, start: int, size: int) -> None:
    whole = b"".join(bytes(block.view) for block in ram.blocks.values())
    save(ram, start, size, str(tmp_path / "piece"))
    assert (tmp_path / "piece").read_bytes() == whole[start : start + size]


def test_a_piece_that_is_not_there(ram: Ram, tmp_path: Path) -> None:
    for start, size in ((3 * MIB, 1), (0, 3 * MIB + 1), ((1 << 64) - 1, 1), (0, (1 << 64) - 1)):
        with pytest.raises(MonitorError, match="this guest has 3145728 bytes of memory"):
            save(ram, start, size, str(tmp_path / "piece"))
    assert not list(tmp_path.iterdir())
    with pytest.raises(MonitorError, match="Could not open '/nowhere/x': No such file"):
        save(ram, 0, 1, "/nowhere/x")


def measured(rate: DirtyRate) -> dict[str, Any]:
    deadline = monotonic() + 30
    while (answer := rate.answer())["status"] != "measured":
        assert answer["status"] == "measuring"
        assert monotonic() < deadline
        sleep(0.01)
    return answer


def test_the_dirty_rate(ram: Ram) -> None:
    rate = DirtyRate(ram)
    assert rate.answer()["status"] == "unstarted"
    asked = {"calc-time": 50, "calc-time-unit": "millisecond", "sample-pages": 16384}
    rate.begin(asked)
    assert measured(rate)["dirty-rate"] == 0
    rate.begin(asked | {"calc-time": 500})
    with pytest.raises(MonitorError, match="is already being measured"):
        rate.begin(asked)
    while rate.answer()["status"] == "measuring":
        for block in ram.blocks.values():
            block.pages[:, 8:16].view(np.uint64)[:] += 1
    answer = measured(rate)
    assert 0 < answer["dirty-rate"] <= 6, "3 MiB in half a second at the most"
    assert (answer["calc-time"], answer["calc-time-unit"]) == (500, "millisecond")
    rate.close()


def test_a_measurement_ends_with_its_guest(ram: Ram) -> None:
    rate = DirtyRate(ram)
    rate.begin({"calc-time": 60})
    began = monotonic()
    rate.close()
    assert monotonic() - began < 30
