"""transport.socket_cost: what moving bytes costs is what both ends spend."""

from __future__ import annotations

import pytest

from ramferry.transport import socket_cost
from ramferry.transport.socket_cost import cpu_of_copy


def test_a_copy_costs_what_both_ends_spend(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 0.0, 3.0, 5.0])
    monkeypatch.setattr(socket_cost.time, "thread_time", lambda: next(seconds))
    assert cpu_of_copy(128, 1 << 19) == pytest.approx(8.0)
