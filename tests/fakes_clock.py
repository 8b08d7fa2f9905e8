"""Clocks of tests: one moves when told, one has jumped because its process stood still."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import ModuleType

import pytest

from ramferry.patience import Patience


class Clock:
    """Stands in for a module's ``time``; its time passes only when a test or a sleep says so."""

    def __init__(self, *pauses: float) -> None:
        """:param pauses: how long each sleep takes, in order; behind them it takes what it asks."""
        self.now = 1000.0
        self._pauses = list(pauses)

    def monotonic(self) -> float:
        """Seconds, as ``time.monotonic`` counts them."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move on without waiting."""
        self.now += self._pauses.pop(0) if self._pauses else seconds


def stopping(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, seconds: float = 300.0
) -> Callable[[], None]:
    """Let the returned function be a stop of so many seconds, to the waits of ``module``.

    The clock has jumped then, and nobody had a moment to answer.
    """
    clock, stood = time.monotonic, 0.0

    def now() -> float:
        return clock() + stood

    def stop() -> None:
        nonlocal stood
        stood = seconds

    monkeypatch.setattr(time, "monotonic", now)
    monkeypatch.setattr(module, "Patience", partial(Patience, clock=now))
    return stop
