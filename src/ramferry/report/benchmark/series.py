"""What ``ramferry bench links`` measured: a comparison for each rate of the link; to and from JSON.

The record is the document, as in ``report.benchmark.comparison``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from ramferry import __version__
from ramferry.report import document as documents
from ramferry.report.benchmark import comparison as comparisons
from ramferry.report.benchmark.comparison import BUILT_IN, CaseRuns, Comparison
from ramferry.report.benchmark.reading import decoded, raw_of
from ramferry.vocabulary import AUTO, RELAY_PAIR

FORMAT: Final = "links"


@dataclass(frozen=True, slots=True)
class LinkSeries:
    """The same contenders over links of several rates."""

    title: str
    description: str
    comparisons: tuple[Comparison, ...]
    """One for each rate that was begun, the lowest first."""
    finished: bool
    """False if it was interrupted: rates or runs may be missing."""
    ramferry: str = field(default=__version__)
    """The version that measured."""

    @property
    def measured(self) -> bool:
        """Whether any run came through."""
        return any(case.results for found in self.comparisons for case in found.cases)


def document_of(measured: Comparison | LinkSeries) -> dict[str, Any]:
    """For ``report.document.write_document``."""
    if isinstance(measured, Comparison):
        return comparisons.document(measured)
    return documents.document(FORMAT, asdict(measured))


def read(path: Path) -> Comparison | LinkSeries:
    """What a file holds that ``ramferry bench`` wrote.

    :raise Damaged: it is none, is damaged, or has another format; names the file and the field.
    :raise HostError: it is there and cannot be read.
    """
    kinds: dict[str, type[Comparison] | type[LinkSeries]] = {
        comparisons.FORMAT: Comparison,
        FORMAT: LinkSeries,
    }
    return decoded(raw_of(path), str(path), kinds)


def is_auto(case: CaseRuns) -> bool:
    """Whether a relay pair chose its methods by itself."""
    return (case.method, case.route) == (AUTO, RELAY_PAIR)


def is_none(case: CaseRuns) -> bool:
    """Whether a relay pair carried the pages as they are."""
    return (case.method, case.route) == ("none", RELAY_PAIR)


def is_fixed(case: CaseRuns) -> bool:
    """Whether a relay pair had one choice for all packets; ``none`` is one, too."""
    return case.route == RELAY_PAIR and case.method != AUTO


def is_built_in(case: CaseRuns) -> bool:
    """Whether the QEMUs did all by themselves."""
    return case.route == BUILT_IN
