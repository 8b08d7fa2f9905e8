"""A QEMU's process: the user as whom it uses files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fakes_relay import until
from ramferry.control.hosts.process import Process
from ramferry.errors import PeerUnreachable


def test_whose_files_a_process_makes() -> None:
    assert Process(os.getpid()).user == os.geteuid()
    with pytest.raises(PeerUnreachable, match="has ended"):
        _ = Process(1 << 22 | 1).user


def test_its_folder() -> None:
    assert Process(os.getpid()).folder == os.getcwd()


def test_one_that_has_ended_is_no_one_that_sees_other_files(tmp_path: Path) -> None:
    """Nobody has asked for the exit code yet."""
    child = subprocess.Popen(["true"])
    until(lambda: b") Z" in Path(f"/proc/{child.pid}/stat").read_bytes())
    with pytest.raises(PeerUnreachable, match=f"the QEMU, process {child.pid}, has ended"):
        Process(child.pid).sees(tmp_path)
    child.wait()
    with pytest.raises(PeerUnreachable, match="has ended"):
        Process(child.pid).sees(tmp_path)


def test_a_file_that_it_does_not_have(tmp_path: Path) -> None:
    assert Process(os.getpid()).sees(tmp_path)
    assert not Process(os.getpid()).sees(tmp_path / "none")
