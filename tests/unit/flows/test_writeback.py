"""A file that grows is handed to its disk meanwhile."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from ramferry.errors import HostError
from ramferry.flows.archive import writeback
from ramferry.flows.archive.writeback import Writeback
from ramferry.transport.safefile import SafeFile

STEP = 1000


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Ranges that the kernel was told of: where each begins, and its size."""
    ranges: list[tuple[int, int]] = []

    def advise(fd: int, offset: int, size: int, advice: int) -> None:
        os.fstat(fd)
        assert advice == os.POSIX_FADV_DONTNEED
        ranges.append((offset, size))

    monkeypatch.setattr(writeback, "STEP", STEP)
    monkeypatch.setattr(os, "posix_fadvise", advise)
    return ranges


def test_each_byte_once_and_never_less_than_a_step(
    tmp_path: Path, handed: list[tuple[int, int]]
) -> None:
    with SafeFile(tmp_path / "file", replace=False, like=None) as file:
        back = Writeback(file)
        for size in (400, 999, 1000, 1700, 1500, 2600, 3599):
            back.grown(size)
    assert handed == [(0, 1000), (1000, 1600)]


def test_threads_share_one_file(tmp_path: Path, handed: list[tuple[int, int]]) -> None:
    with SafeFile(tmp_path / "file", replace=False, like=None) as file:
        back = Writeback(file)

        def grow(first: int) -> None:
            for size in range(first, 100_000, 400):
                back.grown(size)

        threads = [threading.Thread(target=grow, args=(100 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    ends = 0
    for start, size in sorted(handed):
        assert start == ends
        assert size >= STEP
        ends = start + size
    assert ends > 100_000 - 2 * STEP


def test_a_file_that_was_given_up_is_an_error(
    tmp_path: Path, handed: list[tuple[int, int]]
) -> None:
    with SafeFile(tmp_path / "file", replace=False, like=None) as file:
        back = Writeback(file)
    with pytest.raises(HostError, match="given up"):
        back.grown(STEP)
    assert handed == []


def test_advice_that_the_kernel_does_not_take_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "posix_fadvise", refuse)
    with SafeFile(tmp_path / "file", replace=False, like=None) as file:
        Writeback(file).grown(writeback.STEP)
        file.commit()
    assert (tmp_path / "file").exists()
