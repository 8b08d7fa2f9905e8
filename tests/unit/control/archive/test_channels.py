"""How many channels a save or a restore uses if nobody says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ramferry.control.archive.channels import channels_here
from ramferry.control.archive.wish import SaveWish


@pytest.mark.parametrize(("cores", "channels"), [(1, 4), (4, 4), (6, 6), (16, 16), (96, 16)])
def test_one_for_each_core_within_bounds(
    monkeypatch: pytest.MonkeyPatch, cores: int, channels: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert channels_here() == channels
    assert SaveWish(Path("file")).channels == channels
