"""A QEMU's process: the user as whom it uses files."""

from __future__ import annotations

import os

import pytest

from ramferry.control.hosts.process import Process
from ramferry.errors import PeerUnreachable


def test_whose_files_a_process_makes() -> None:
    assert Process(os.getpid()).user == os.geteuid()
    with pytest.raises(PeerUnreachable, match="has ended"):
        _ = Process(1 << 22 | 1).user


def test_its_folder() -> None:
    assert Process(os.getpid()).folder == os.getcwd()
