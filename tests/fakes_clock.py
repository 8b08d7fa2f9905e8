"""A process that stood still: its clock has jumped, and nobody had a moment to answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import ModuleType

import pytest

from ramferry.patience import Patience


def stopping(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, seconds: float = 300.0
) -> Callable[[], None]:
    """Let the returned function be a stop of so many seconds, to the waits of ``module``."""
    clock, stood = time.monotonic, 0.0

    def now() -> float:
        return clock() + stood

    def stop() -> None:
        nonlocal stood
        stood = seconds

    monkeypatch.setattr(time, "monotonic", now)
    monkeypatch.setattr(module, "Patience", partial(Patience, clock=now))
    return stop
