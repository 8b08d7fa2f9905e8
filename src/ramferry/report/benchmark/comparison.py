"""What ``ramferry bench`` measured: the scenario, the machine, every run; to and from JSON.

The records are the document: its keys are their field names, and what their types say is checked
when it is read: a field of another type, and one that a record does not have, is refused with its
path. Sizes are bytes, rates bytes per second, times seconds unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from msgspec import Meta

from ramferry import __version__
from ramferry.metrics import MigrationResult
from ramferry.report import document as documents
from ramferry.report.benchmark import former
from ramferry.report.benchmark.reading import Damaged as Damaged
from ramferry.report.benchmark.reading import decoded, raw_of
from ramferry.vocabulary import RELAY_PAIR

FORMAT: Final = former.NOW

TC: Final = "tc"
RELAY_PACING: Final = "relay pacing"
UNSHAPED: Final = "none"
HOW: Final = (TC, RELAY_PACING, UNSHAPED)
"""How a link's rate is held."""

BUILT_IN: Final = "QEMU built-in"
NATIVE: Final = "native"
ROUTES: Final = (BUILT_IN, RELAY_PAIR, NATIVE)
"""Who compresses: the QEMUs, relays beside them, or Ramferry's own sender and receiver."""


def one_of(words: tuple[str, ...]) -> Meta:
    """What a text is checked by that must be one of ``words``; the error lists them."""
    return Meta(pattern=f"^({'|'.join(words)})$")


@dataclass(frozen=True, slots=True)
class Link:
    """What lies between the two hosts."""

    rate: float
    """Bytes per second; 0 if nothing limits it."""
    how: Annotated[str, one_of(HOW)]
    """One of ``HOW``."""
    probed: float | None = None
    """Bytes per second that a probe found; None if there was none."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Which guest moved over which link."""

    name: str
    """As ``ramferry bench`` takes it: "seed"."""
    title: str
    description: str
    guest: str
    """ "QEMU 10.0" or "built-in"."""
    memory_bytes: int
    fill: str
    """What the guest's memory holds, in words."""
    workload: str
    """What the guest does meanwhile, in words: "idle"."""
    link: Link
    documented_memory_bytes: int | None = None
    """The guest's memory in the scenario's source; None if this one has it, too."""
    scaling: str = ""
    """A sentence about what was scaled and why; empty if nothing was."""
    change: str = ""
    """What changed on the hosts or the link during each run, in words; empty if nothing did."""


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """Where a migration stood at one moment. Counts are sums since its begin."""

    seconds: float
    """Since the migration began."""
    dirty_sync_count: int
    """The iteration, as QEMU counts them."""
    status: str
    """QEMU's: "active", "device", "completed" …"""
    wire_bytes: int | None
    """None if nobody counts them."""
    remaining_bytes: int
    """Guest memory that is dirty and not sent."""
    carried_bytes: int
    """Guest memory sent, zero pages included, pages sent again counted again."""


@dataclass(frozen=True, slots=True)
class Run:
    """One migration: its result, or why there is none."""

    result: MigrationResult | None
    """None if it failed."""
    send_cpu_seconds: float | None = None
    """User and system time of the sending side; None if it is not known."""
    recv_cpu_seconds: float | None = None
    timeline: tuple[TimelinePoint, ...] = ()
    error: str = ""
    """The sentence of a run that failed; empty for one that did not."""
    others_cores: float | None = None
    """Cores of the host that processes of others kept busy meanwhile; None if not known."""

    def __post_init__(self) -> None:
        if (self.result is None) != bool(self.error):
            said = "both a result and an" if self.error else "neither a result nor an"
            raise ValueError(f"a run has {said} error")


@dataclass(frozen=True, slots=True)
class Forecast:
    """What ``ramferry plan time`` said of a case before its runs."""

    expected_ms: Annotated[float, Meta(gt=0)] | None
    """Total time; None if it was not to converge."""
    low_ms: float | None
    high_ms: float | None
    """None if there is no bound."""
    downtime_ms: float | None
    wire_bytes: int
    send_cpu_seconds: float
    recv_cpu_seconds: float
    limited_by: str
    """ "link", "cores" …"""


@dataclass(frozen=True, slots=True)
class CaseRuns:
    """One method on one route, and its runs in the order in which they ran."""

    label: str
    """Row label, unique in a comparison: "qatzip 1 (relay pair)"."""
    method: str
    level: int | None
    channels: int
    route: Annotated[str, one_of(ROUTES)]
    """One of ``ROUTES``."""
    runs: tuple[Run, ...] = ()
    forecast: Forecast | None = None
    """None if none can be made: of other routes than a relay pair."""
    tls: bool = False
    """Whether what went over the link was encrypted."""
    skipped: str = ""
    """Why it is not run here, a sentence; empty if it is."""

    def __post_init__(self) -> None:
        if self.skipped and self.runs:
            raise ValueError("a case that was skipped has runs")

    @property
    def results(self) -> tuple[MigrationResult, ...]:
        """Of the runs that did not fail."""
        return tuple(run.result for run in self.runs if run.result is not None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that one ``ramferry bench`` measured."""

    scenario: Scenario
    machine: Mapping[str, Any]
    """Facts as JSON values: "cpu", "kernel", "libraries": {"isal": "1.9.1"} …"""
    cases: tuple[CaseRuns, ...]
    started: str
    """ISO 8601 date and time, with its offset."""
    finished: bool
    """False if it was interrupted: runs may be missing."""
    ramferry: str = field(default=__version__)
    """The version that measured."""
    forecast_notes: tuple[str, ...] = ()
    """What was said with the forecasts."""

    def __post_init__(self) -> None:
        labels = [case.label for case in self.cases]
        if len(set(labels)) < len(labels):
            raise ValueError("two cases have the same label")


def document(comparison: Comparison) -> dict[str, Any]:
    """For ``report.document.write_document``."""
    return documents.document(FORMAT, asdict(comparison))


def read(path: Path) -> Comparison:
    """The comparison in a file that ``ramferry bench`` wrote.

    :raise Damaged: it is none, is damaged, or has another format; names the file and the field.
    :raise HostError: it is there and cannot be read.
    """
    return decode(raw_of(path), str(path))


def decode(raw: bytes, name: str) -> Comparison:
    """The inverse of ``document``; documents of versions 1 and 2 are understood, too.

    :param name: of the file, for the sentence.
    :raise Damaged: as ``read``.
    """
    return decoded(raw, name, {FORMAT: Comparison})
