"""control.calibration: a host's sockets against those of the host that was measured."""

from __future__ import annotations

import pytest

from ramferry.codec.base import PACKET_BYTES
from ramferry.forecast import calibration
from ramferry.forecast.calibration import PACKETS, REFERENCE_COPY, host_costs
from ramferry.forecast.costs import REFERENCE


def test_the_fastest_copy_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([9.0, 3.0, 2.0, 8.0, *[9.0] * (calibration.RUNS - 4)])
    monkeypatch.setattr(calibration, "_copy", lambda: next(readings) * REFERENCE_COPY)
    assert host_costs() == REFERENCE.times(2.0)


@pytest.mark.parametrize(("copy", "factor"), [(1e-6, 0.2), (1e6, 5.0)])
def test_what_no_host_takes_is_no_measurement(
    monkeypatch: pytest.MonkeyPatch, copy: float, factor: float
) -> None:
    monkeypatch.setattr(calibration, "_copy", lambda: copy * REFERENCE_COPY)
    assert host_costs().factor == factor


def test_a_copy_costs_what_both_ends_spend(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 0.0, 3.0, 5.0])
    monkeypatch.setattr(calibration.time, "thread_time", lambda: next(seconds))
    assert calibration._copy() * PACKETS * PACKET_BYTES == pytest.approx(8.0)
