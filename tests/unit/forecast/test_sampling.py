"""Pieces from everywhere, zero pages counted, a guest's holes left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ramferry.control.plan.guest_memory import file_memory
from ramferry.errors import HostError, UsageError
from ramferry.forecast.sampling import PIECE, draw, positions

MIB = 1 << 20


def reader(ram: bytes):  # type: ignore[no-untyped-def]
    return lambda at, size: ram[at : at + size]


@pytest.mark.parametrize("total", [17 * MIB, 1 << 30, (1 << 40) + 4096])
def test_one_piece_from_each_stratum(total: int) -> None:
    places = positions(total, 16 * MIB, 4096, seed=7)
    assert len(places) == 64
    for number, (at, length) in enumerate(places):
        assert length == PIECE
        assert at % 4096 == 0
        assert number * total / 64 - 4096 < at <= (number + 1) * total / 64 - PIECE + 4096
    assert places == positions(total, 16 * MIB, 4096, seed=7)
    assert places != positions(total, 16 * MIB, 4096, seed=8)


@pytest.mark.parametrize("total", [4096, PIECE - 4096, PIECE + 4096, 3 * MIB])
def test_a_small_guest_is_seen_whole(total: int) -> None:
    places = positions(total, 64 * MIB, 4096, seed=1)
    assert [at for at, _ in places] == list(range(0, total, PIECE))
    assert sum(length for _, length in places) == total


def test_zero_pages_are_counted_and_left_out() -> None:
    ram = np.zeros((1024, 4096), np.uint8)
    ram[::4, -1] = 1
    sample = draw("x", ram.nbytes, reader(ram.tobytes()))
    assert sample.summary.zero_share.expected == 0.75
    assert sample.summary.zero_share.low == sample.summary.zero_share.high == 0.75
    assert sample.content.shape == (256, 4096)
    assert sample.unseen_share == 0


def test_a_part_has_a_spread_that_holds_the_truth() -> None:
    ram = np.zeros((16384, 4096), np.uint8)
    ram[np.random.default_rng(3).random(256).repeat(64) < 0.4, 0] = 1
    truth = 1 - float(ram[:, 0].mean())
    for seed in range(8):
        share = draw("x", ram.nbytes, reader(ram.tobytes()), size=16 * MIB, seed=seed)
        low, high = share.summary.zero_share.low, share.summary.zero_share.high
        assert low - 0.03 < truth < high + 0.03
        assert 0.02 < high - low < 0.3


@pytest.mark.parametrize("total", [0, 100, 4095, 8193])
def test_memory_is_whole_pages(total: int) -> None:
    with pytest.raises(UsageError, match=f"x holds {total} bytes, which are not whole pages"):
        draw("x", total, reader(bytes(total)))


def test_a_ram_file_is_read_in_place(tmp_path: Path) -> None:
    file = tmp_path / "ram"
    file.write_bytes(bytes(range(256)) * 32)
    with file_memory(file) as (total, read):
        assert total == 8192
        assert read(4096, 4096) == bytes(range(256)) * 16
        file.write_bytes(bytes(5000))
        with pytest.raises(HostError, match="ends after 5000 bytes, where 8192 were expected"):
            read(4096, 4096)


def test_what_is_no_ram_file(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"cannot read .*nothing: No such file"),
        file_memory(tmp_path / "nothing"),
    ):
        pytest.fail("opened")
    with pytest.raises(UsageError, match="is no file with a guest's RAM"), file_memory(tmp_path):
        pytest.fail("a folder was opened")
