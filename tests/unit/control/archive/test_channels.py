"""How many channels a save or a restore uses if nobody says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ramferry import allowance
from ramferry.control.archive.channels import channels_here
from ramferry.control.archive.wish import SaveWish


@pytest.mark.parametrize(
    ("cores", "quota", "channels"),
    [(1, 0, 4), (4, 0, 4), (6, 0, 6), (16, 0, 16), (96, 0, 16), (96, 5.5, 6), (96, 0.5, 4)],
)
def test_one_for_each_core_within_bounds(
    monkeypatch: pytest.MonkeyPatch, cores: int, quota: float, channels: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(allowance, "quota", lambda _: quota)
    assert channels_here() == channels
    assert SaveWish(Path("file")).channels == channels
