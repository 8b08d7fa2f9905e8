"""Rounds of a save: those that become smaller, and those that do not."""

from __future__ import annotations

import pytest

from ramferry.control.archive.convergence import Convergence

MIB = 1 << 20


def looked(sizes: list[float], *, seconds: float = 1.0) -> Convergence:
    """After rounds that carried so many MiB each, seen as each begins."""
    convergence, carried = Convergence(), 0.0
    for number in range(len(sizes) + 1):
        info = {"ram": {"dirty-sync-count": number + 1, "total": 256 * MIB}}
        for _ in range(2):  # a look at the same round says nothing new
            convergence.look(info, round(carried * MIB), number * seconds)
        carried += sizes[number] if number < len(sizes) else 0
    return convergence


@pytest.mark.parametrize(
    ("sizes", "stalled"),
    [
        ([], 0),
        ([256], 0),
        ([256, 100, 60, 30, 10], 0),
        ([256, 256, 256], 2),
        ([256, 100, 100, 101], 2),
        ([256, 256, 256, 100], 0),
        ([256, 240], 1),
    ],
)
def test_rounds_without_progress_are_counted(sizes: list[float], stalled: int) -> None:
    assert looked(sizes).stalled == stalled


def test_rounds_that_were_not_seen_count_too() -> None:
    convergence = looked([256, 200])
    info = {"ram": {"dirty-sync-count": 6, "total": 256 * MIB}}
    convergence.look(info, (256 + 200 + 3 * 200) * MIB, 9.0)
    assert convergence.stalled == 3


def test_before_there_are_rounds_there_is_nothing_to_judge() -> None:
    convergence = Convergence()
    convergence.look({"status": "setup"}, 0, 0.0)
    assert (convergence.stalled, convergence.rounds) == (0, 0)


def test_the_figures() -> None:
    assert looked([256, 128, 128], seconds=2.0).figures(300 * MIB) == (
        "the guest writes 64 MiB a second and 64 MiB a second are saved; after 3 rounds the file "
        "has 300 MiB, for 256 MiB of RAM"
    )
