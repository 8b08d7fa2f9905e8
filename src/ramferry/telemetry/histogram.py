"""A histogram of few values: prometheus-client's own writes a ``_created`` series beside it."""

from __future__ import annotations

import bisect
import itertools

from prometheus_client.metrics_core import HistogramMetricFamily

from ramferry.telemetry.table import Metric


class Histogram:
    """Counts observed values by size; one thread observes, others may read at any time."""

    def __init__(self, metric: Metric, bounds: tuple[float, ...]) -> None:
        """:param bounds: the buckets' upper bounds, in ascending order; one without a bound comes
        last."""
        self._metric = metric
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._sum += value
        self._counts[bisect.bisect_left(self._bounds, value)] += 1

    def family(self) -> HistogramMetricFamily:
        """The metric at this moment."""
        names = [*map(str, self._bounds), "+Inf"]
        reached = itertools.accumulate(self._counts)
        family = HistogramMetricFamily(self._metric.name, self._metric.help)
        family.add_metric([], list(zip(names, reached, strict=True)), self._sum)
        return family
