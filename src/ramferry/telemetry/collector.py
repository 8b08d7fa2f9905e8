"""A relay's metrics in prometheus-client's terms."""

from __future__ import annotations

import resource
import threading
from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from ramferry import __version__
from ramferry.errors import class_names
from ramferry.metrics import RelayCounters, RelayResult
from ramferry.metrics.notes import as_note
from ramferry.metrics.states import COMPLETED, FAILED, OUTCOMES, STATES
from ramferry.telemetry import table
from ramferry.telemetry.histogram import Histogram
from ramferry.telemetry.sums import CODEC, DIGEST, Key, Sums
from ramferry.telemetry.table import Metric

_TYPES = {table.COUNTER: "counter", table.GAUGE: "gauge", table.INFO: "gauge"}
_CLASSES = class_names()


class RelayMetrics(Collector):
    """All metrics of one relay: told what its observer is told, and asked by :attr:`registry`."""

    def __init__(self, method: str) -> None:
        """:param method: the multifd-compression of the outgoing side."""
        self._sums = Sums(method)
        self._ended: Counter[str] = Counter()
        self._errors: Counter[int] = Counter()
        self._refused = 0
        self._lock = threading.Lock()
        """Guards the number of those that were refused, of which any thread may tell."""
        self._other = 0.0
        self.registry = CollectorRegistry()
        """What a server asks."""
        self.registry.register(self)
        self._downtime = Histogram(table.DOWNTIME, table.DOWNTIME_BUCKETS)
        self._duration = Histogram(table.DURATION, table.DURATION_BUCKETS)
        ProcessCollector(registry=self.registry)

    # --- what happens

    def progress(self, counters: RelayCounters) -> None:
        """See ``RelayObserver``; waits for nobody."""
        self._sums.progress(counters)

    def finished(self, result: RelayResult) -> None:
        """See ``RelayObserver``."""
        self._sums.finished(result)
        self._ended[result.outcome or (COMPLETED if result.completed else FAILED)] += 1
        if not result.completed:
            self._errors[result.exit_code] += 1
        else:
            self._duration.observe(result.counters.seconds)
        if result.downtime_seconds is not None:
            self._downtime.observe(result.downtime_seconds)

    def note(self, text: str) -> None:
        """See ``RelayObserver``; counts what was refused."""
        if as_note(text).refused:
            with self._lock:
                self._refused += 1

    # --- what is asked

    def collect(self) -> Iterator[Family]:
        """See ``Collector``: the metrics at this moment."""
        totals = self._sums.totals()
        totals |= self._cpu(totals)
        totals |= {(table.HAVE_ENDED, (name,)): self._ended[name] for name in OUTCOMES}
        totals |= {(table.ERRORS, (name,)): self._errors[code] for code, name in _CLASSES.items()}
        totals[table.REFUSED, ()] = self._refused
        states = self._sums.states()
        totals |= {(table.UNDER_WAY, (name,)): states[name] for name in STATES}
        totals[table.RATIO, ()] = self._sums.ratio
        totals[table.BUILD, (__version__,)] = 1
        totals |= {(table.BACKEND, (name,)): 1 for name in self._sums.backends}
        for metric in table.TABLE:
            if metric.kind != table.HISTOGRAM:
                yield _family(metric, totals)
        yield self._downtime.family()
        yield self._duration.family()

    def _cpu(self, totals: dict[Key, float]) -> dict[Key, float]:
        """The process's CPU time by kind: what no codec, digest or kernel took is other's."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        codec, digest = totals.get(CODEC, 0.0), totals.get(DIGEST, 0.0)
        # the codecs' time is an estimate, and a sum must not fall
        self._other = max(self._other, usage.ru_utime - codec - digest)
        system, other = (table.CPU, ("system",)), (table.CPU, ("other",))
        return {CODEC: codec, DIGEST: digest, system: usage.ru_stime, other: self._other}


def _family(metric: Metric, totals: dict[Key, float]) -> Family:
    family = Family(metric.name.removesuffix("_total"), metric.help, _TYPES[metric.kind])
    for (one, values), at in totals.items():
        if one is metric:
            family.add_sample(metric.name, dict(zip(metric.labels, values, strict=True)), at)
    return family
