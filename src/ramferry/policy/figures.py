"""What candidates make of pages in one migration: expectations that measurements replace.

Packets of a class differ among one another by more than candidates do: text came as 0.09 and as
0.41 of its size at zstd 1, at 1.2 and 3.6 ns a byte, in turns of a tenth of a second. A candidate
that was tried on an easy packet must not look better for it. So a figure has three parts: the
table's expectation; how what comes now differs from it, which is the same for all candidates; and
how a candidate differs from another one on the same packet, the more it was compared. Nothing here
has a clock or a lock; one thread at a time works with it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from ramferry.policy.expectations import expected
from ramferry.policy.measurements import Candidate, Figure, PageClass
from ramferry.vocabulary import PACKET_BYTES

PRIOR: Final = 6 * PACKET_BYTES
"""Bytes of pages that a candidate is compared on when half of how it differs is believed."""

MEMORY: Final = 24 * PACKET_BYTES
"""Bytes of pages after which most of what was before is forgotten: pages of a class change as the
migration comes to other regions of the guest's memory."""

_LEAST: Final = 1e-15
"""What no figure is below, so that there is a logarithm."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What a candidate made of a packet that was tried on."""

    candidate: Candidate
    wire: int
    """Bytes."""
    encode: float
    """Core seconds."""
    decode: float
    """Core seconds."""


@dataclass(slots=True)
class _Mean:
    """A mean of measurements, each weighed by its bytes of pages."""

    value: float = 0.0
    weight: float = 0.0

    def add(self, value: float, pages: float, memory: float = math.inf) -> None:
        self.weight = min(self.weight, memory) + pages
        self.value += (value - self.value) * pages / self.weight

    @property
    def believed(self) -> float:
        return self.value * self.weight / (self.weight + PRIOR)


@dataclass(slots=True)
class _Own:
    """How a candidate differs from another one on the same packets: logarithms of factors."""

    wire: _Mean = field(default_factory=_Mean)
    encode: _Mean = field(default_factory=_Mean)
    decode: _Mean = field(default_factory=_Mean)
    measured: int = 0
    """Bytes of pages, compared or not."""

    def compared(self, seen: Figure, foreseen: Figure, pages: float) -> None:
        """Take note of a packet.

        :param seen: what it made of it.
        :param foreseen: what it would have if it were as the table has it beside the other one.
        """
        for mean, one, other in (
            (self.wire, seen.wire, foreseen.wire),
            (self.encode, seen.encode, foreseen.encode),
            (self.decode, seen.decode, foreseen.decode),
        ):
            mean.add(_log(one) - _log(other), pages, MEMORY)

    def applied(self, bent: Figure) -> Figure:
        """The candidate's figure, where ``bent`` is the table's as the pages of now bend it."""
        return self._times(bent, 1.0)

    def left_out(self, seen: Figure) -> Figure:
        """What would have been seen if the candidate were as the table has it."""
        return self._times(seen, -1.0)

    def _times(self, figure: Figure, power: float) -> Figure:
        return Figure(
            figure.wire * math.exp(power * self.wire.believed),
            figure.encode * math.exp(power * self.encode.believed),
            figure.decode * math.exp(power * self.decode.believed),
            self.measured,
        )


class Figures:
    """The figures of all candidates that may be chosen, by class."""

    def __init__(
        self, among: Collection[Candidate], near_factor: float = 1.0, far_factor: float = 1.0
    ) -> None:
        """Nothing measured yet.

        :param among: as ``candidates.usable`` gives them.
        :param near_factor: as for ``expectations.expected``.
        """
        self._table = expected(among, near_factor, far_factor)
        self._own: dict[PageClass, dict[Candidate, _Own]] = {kind: {} for kind in PageClass}
        self._bends = {kind: _Bend() for kind in PageClass}

    def used(
        self, kind: PageClass, candidate: Candidate, pages: int, wire: int, encode: float
    ) -> None:
        """Take note of what the candidate in use made of the pages that came.

        :param pages: bytes of pages.
        :param wire: what they became.
        :param encode: core seconds.
        """
        self._bends[kind].add(
            candidate,
            self._table[kind][candidate],
            self._own_of(kind, candidate, pages).left_out(
                Figure(wire / pages, encode / pages, 0.0)
            ),
            pages,
        )

    def tried(self, kind: PageClass, pages: int, trials: Sequence[Tried]) -> None:
        """Take note of what candidates made of one packet of ``pages`` bytes; the others are
        compared with the first."""
        first, table = trials[0], self._table[kind]
        own = self._own_of(kind, first.candidate, pages)
        seen, this = own.left_out(_figure_of(first, pages)), _Bend()
        for bend in (this, self._bends[kind]):
            bend.add(first.candidate, table[first.candidate], seen, pages)
        for one in trials[1:]:
            foreseen = this.applied(table[one.candidate], one.candidate)
            own = self._own_of(kind, one.candidate, pages)
            own.compared(_figure_of(one, pages), foreseen, pages)

    def all(self) -> dict[PageClass, dict[Candidate, Figure]]:
        """Every candidate's figure for each class, for ``Measurements.figures``."""
        return {kind: self._of(kind) for kind in self._table}

    def _own_of(self, kind: PageClass, candidate: Candidate, pages: int) -> _Own:
        own = self._own[kind].setdefault(candidate, _Own())
        own.measured += pages
        return own

    def _of(self, kind: PageClass) -> dict[Candidate, Figure]:
        bend = self._bends[kind] if self._bends[kind].known else self._elsewhere()
        found: dict[Candidate, Figure] = {}
        for one, table in self._table[kind].items():
            bent, own = bend.applied(table, one), self._own[kind].get(one)
            found[one] = bent if own is None else own.applied(bent)
        return found

    def _elsewhere(self) -> _Bend:
        """How costs differ from the table in other classes, for one of which nothing was measured:
        a slow core is slow with all."""
        bend = _Bend()
        for other in self._bends.values():
            bend.take_costs(other)
        return bend


def _figure_of(one: Tried, pages: int) -> Figure:
    return Figure(one.wire / pages, one.encode / pages, one.decode / pages)


class _Bend:
    """How pages differ from the table: in their wire bytes by a power, since pages that do not
    compress at one level do not at another, and in their costs by a factor."""

    def __init__(self) -> None:
        self._log_wire, self._log_table = _Mean(), _Mean()
        self._encode, self._decode = _Mean(), _Mean()

    @property
    def known(self) -> bool:
        return self._log_wire.weight > 0

    def add(self, candidate: Candidate, table: Figure, seen: Figure, pages: float) -> None:
        """:param table: what the candidate makes of pages by the table.
        :param seen: what it made of these; ``decode`` is 0 if that is not known."""
        if not table.encode:
            return
        self._log_wire.add(_log(seen.wire), pages, MEMORY)
        self._log_table.add(_log(table.wire), pages, MEMORY)
        if not candidate.device:
            self._encode.add(_log(seen.encode / table.encode), pages, MEMORY)
        if seen.decode:
            self._decode.add(_log(seen.decode / table.decode), pages, MEMORY)

    def take_costs(self, other: _Bend) -> None:
        for mean, its in ((self._encode, other._encode), (self._decode, other._decode)):
            if its.weight:
                mean.add(its.value, its.weight)

    def applied(self, table: Figure, candidate: Candidate) -> Figure:
        if not table.encode:
            return table
        encode = 1.0 if candidate.device else math.exp(self._encode.value)
        decode = math.exp(self._decode.value)
        return Figure(self._wire(table.wire), table.encode * encode, table.decode * decode)

    def _wire(self, table: float) -> float:
        if not self.known:
            return table
        if self._log_table.value > -0.05:
            # the table says that they do not compress, and no power of 1 is less
            return min(table, 1.0) * math.exp(self._log_wire.value - self._log_table.value)
        return math.pow(min(table, 1.0), max(0.0, self._log_wire.value / self._log_table.value))


def _log(value: float) -> float:
    return math.log(max(value, _LEAST))
