"""What a relay's migrations carried, added up so that no sum ever falls."""

from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict
from typing import Final

from ramferry.metrics import RelayCounters, RelayResult
from ramferry.metrics.states import STATES
from ramferry.telemetry import table
from ramferry.telemetry.table import Metric
from ramferry.vocabulary import AUTO, MAX_CHANNELS, METHOD_FLAGS

Key = tuple[Metric, tuple[str, ...]]
"""A metric, and the values of its labels."""

MOST_CHANNELS: Final = MAX_CHANNELS + 1
"""Most connections that are counted each by its name; the bytes of further ones are ``other``'s."""
UNKNOWN: Final = "unknown"
"""The method of a source that sent no packet."""
MIXED: Final = "mixed"
"""The method of a source that sends several."""
CODEC: Final[Key] = (table.CPU, ("codec",))
DIGEST: Final[Key] = (table.CPU, ("digest",))
_JOINED: Final = re.compile(r" [/+→] ")
_NOTHING: Final = RelayCounters(0.0, 0, 0, 0, 0, 0, 0, 0, 0.0)
_SHARE: Final = re.compile(r" \d+ %$")


class Sums:
    """Adds up the counters of migrations, which may be several at a time.

    The relay's loop leaves each report where it is found; it is looked at only when somebody asks,
    and when a migration ends. What is counted once stays counted: of an estimate that sinks, such
    as a codec's time, the highest value stands.
    """

    def __init__(self, method: str) -> None:
        """:param method: the outgoing side's."""
        self._method = method
        self._lock = threading.Lock()
        """Guards all but ``_latest``, whose items the loop replaces."""
        self._latest: dict[str, RelayCounters] = {}
        self._counted: dict[str, dict[Key, float]] = {}
        """What of each migration under way is in the totals."""
        self._channels: set[str] = set()
        self._totals: dict[Key, float] = defaultdict(float)
        # so that what comes first is seen as a growth
        self._totals.update(dict.fromkeys(self._amounts(_NOTHING), 0.0))
        self._last: RelayCounters | None = None
        self._backends: tuple[str, ...] = ()

    def progress(self, counters: RelayCounters) -> None:
        """A migration is so far; waits for nobody."""
        self._latest[counters.migration] = counters

    def finished(self, result: RelayResult) -> None:
        """A migration has ended."""
        counters = result.counters
        with self._lock:
            self._latest.pop(counters.migration, None)
            self._count(counters, ended=True)
            del self._counted[counters.migration]
            self._last = counters
            self._backends = backends_of(result.backend)

    def totals(self) -> dict[Key, float]:
        """All sums at this moment."""
        with self._lock:
            for counters in list(self._latest.values()):
                self._count(counters)
            return dict(self._totals)

    def states(self) -> Counter[str]:
        """Number of migrations under way in each state."""
        found = Counter(dict.fromkeys(STATES, 0))
        found.update(one.state for one in list(self._latest.values()) if one.state in STATES)
        return found

    @property
    def ratio(self) -> float:
        """Guest bytes per byte sent of all migrations under way, else of the last; 0 before any."""
        seen = list(self._latest.values()) or [one for one in (self._last,) if one]
        sent = sum(one.bytes_out for one in seen)
        return sum(one.normal_bytes for one in seen) / sent if sent else 0.0

    @property
    def backends(self) -> tuple[str, ...]:
        """What inflated and compressed in the last migration, each by its name."""
        return self._backends

    def _count(self, counters: RelayCounters, *, ended: bool = False) -> None:
        """Add what a migration has carried since it was counted last."""
        counted = self._counted.setdefault(counters.migration, defaultdict(float))
        for key, now in self._amounts(counters).items():
            self._add(counted, key, key, now)
        came: Key = (table.WIRE, ("in", ""))
        # a method may be known late, and several may come: what came before stays where it is
        if method := _method_in(counters.method_in) or (UNKNOWN if ended else ""):
            self._add(counted, came, (table.WIRE, ("in", method)), counters.bytes_in)

    def _add(self, counted: dict[Key, float], seen: Key, key: Key, now: float) -> None:
        """Add to the total of ``key`` what ``now`` is more than was ``counted`` as ``seen``."""
        grown = max(now - counted[seen], 0)
        counted[seen] += grown
        self._totals[key] += grown

    def _amounts(self, counters: RelayCounters) -> dict[Key, float]:
        amounts: dict[Key, float] = {
            **self._sent(counters),
            (table.PAGE_BYTES, ()): counters.normal_bytes,
            (table.PAGES, ("normal",)): counters.normal_pages,
            (table.PAGES, ("zero",)): counters.zero_pages,
            (table.PACKETS, ()): counters.packets,
            (table.MARKS, ()): counters.rounds,
            (table.WAITS, ("main",)): counters.mark_seconds,
            (table.WAITS, ("channels",)): counters.channel_wait_seconds,
            CODEC: counters.codec_seconds,
            DIGEST: counters.digest_seconds,
        }
        for channel in counters.channels:
            name = self._named(channel.name)
            for direction, carried in (("in", channel.bytes_in), ("out", channel.bytes_out)):
                key = table.CHANNEL, (direction, name)
                amounts[key] = amounts.get(key, 0) + carried
        return amounts

    def _sent(self, counters: RelayCounters) -> dict[Key, float]:
        """Bytes sent by method; where each packet's was chosen, those that belong to none go as
        they are: headers, and main."""
        if self._method != AUTO:
            return {(table.WIRE, ("out", self._method)): counters.bytes_out}
        by_method = {name: counters.wire_by_method.get(name, 0) for name in METHOD_FLAGS}
        by_method["none"] += counters.bytes_out - sum(by_method.values())
        return {(table.WIRE, ("out", name)): size for name, size in by_method.items()}

    def _named(self, channel: str) -> str:
        if channel not in self._channels and len(self._channels) >= MOST_CHANNELS:
            return "other"
        self._channels.add(channel)
        return channel


def backends_of(described: str) -> tuple[str, ...]:
    """The engines of ``RelayResult.backend``, without their shares: ("qat", "isa-l") of
    "qat 93 % / isa-l 7 %"."""
    names = (_SHARE.sub("", one) for one in _JOINED.split(described))
    return tuple(dict.fromkeys(name for name in names if name))


def _method_in(method: str) -> str:
    return MIXED if "," in method else method
