"""The JSON file of a benchmark: whole at any time, and a full disk costs no run."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from comparisons import comparison
from ramferry.cli import results_file
from ramferry.cli.results_file import ResultFile
from ramferry.errors import HostError
from ramferry.report.benchmark.comparison import read


def test_a_disk_that_is_full_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = ResultFile(str(tmp_path / "r.json"), "seed", 1)
    before = replace(comparison(repeats=1), finished=False)
    assert result.keep(before) == ""

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(results_file.os, "write", full)
        said = f"cannot write {tmp_path}/r.json: No space left on device; it holds what it held"
        assert result.keep(comparison()).startswith(said)
        with pytest.raises(HostError, match="No space left on device"):
            result.end(comparison())
    assert read(tmp_path / "r.json") == before
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
    result.end(comparison())
    assert read(tmp_path / "r.json") == comparison()


def test_what_is_written_in_pieces_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(results_file.os, "write", lambda fd, rest: write(fd, rest[:1000]))
    ResultFile(str(tmp_path), "seed", 2).end(comparison())
    assert read(tmp_path / "seed.json") == comparison()
