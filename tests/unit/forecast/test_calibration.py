"""forecast.calibration: a host's sockets against those of the host that was measured."""

from __future__ import annotations

import pytest

from ramferry.forecast import calibration
from ramferry.forecast.calibration import REFERENCE_COPY, host_costs
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
