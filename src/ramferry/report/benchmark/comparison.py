"""What ``ramferry bench`` measured: the scenario, the machine, every run; to and from JSON.

The records are the document: its keys are their field names, and what their types say is checked
when it is read: a field of another type, and one that a record does not have, is refused with its
path. Sizes are bytes, rates bytes per second, times seconds unless a name says otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ramferry import __version__
from ramferry.errors import UsageError, unreadable
from ramferry.metrics import MigrationResult
from ramferry.report import document as documents
from ramferry.report.benchmark import former
from ramferry.report.benchmark.strict import unknown_field
from ramferry.vocabulary import RELAY_PAIR

FORMAT: Final = "benchmark"
READ: Final = range(2, documents.VERSION + 1)
"""Versions whose documents are records as of today: version 2 lacks fields that have a default."""
MOST_BYTES: Final = 256 << 20
"""Of a file: a thousand runs of an hour each, sampled ten times a second, take less."""
MOST_DEPTH: Final = 24
"""Of lists and objects in each other; without the free-form facts of a machine there are 9."""
LARGEST: Final = 1 << 63
"""No count of bytes, pages or milliseconds is larger, and every one below makes a float."""

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


class Damaged(UsageError):
    """A document is not what it should be; the text names the file and the field."""


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
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise Damaged(f"{path}: is larger than any result ({MOST_BYTES >> 20} MiB)")
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    return decode(raw, str(path))


def decode(raw: bytes, name: str) -> Comparison:
    """The inverse of ``document``; documents of versions 1 and 2 are understood, too.

    :param name: of the file, for the sentence.
    :raise Damaged: as ``read``.
    """
    if len(raw) > MOST_BYTES:
        raise Damaged(f"{name}: is larger than any result ({MOST_BYTES >> 20} MiB)")
    try:
        content = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{name}: is no JSON document, or a part of one ({error})") from error
    if (place := _out_of_range(content)) is not None:
        raise Damaged(f"{name}: a number is too large, or the nesting too deep - at `${place}`")
    record = _of_this_version(content, name)
    try:
        comparison = msgspec.convert(record, Comparison)
    except msgspec.ValidationError as error:
        raise Damaged(f"{name}: {error}") from error
    if (path := unknown_field(record, Comparison)) is not None:
        raise Damaged(f"{name}: a field that results do not have - at `{ascii(path)[1:-1]}`")
    return comparison


def _of_this_version(content: Any, name: str) -> Any:
    if not isinstance(content, dict) or not {"format", "ramferry"} <= content.keys():
        raise Damaged(f"{name}: is no document of ramferry: it has no format and ramferry")
    kind, version = content["format"], content.get("version")
    if kind == former.FORMAT and not isinstance(kind, bool) and "version" not in content:
        kind, version, content = FORMAT, documents.VERSION, former.renamed(content)
    if kind != FORMAT or not {"scenario", "cases"} <= content.keys():
        raise Damaged(f"{name}: is no result of ramferry bench: {_shown(kind)} is its format")
    if version not in READ or isinstance(version, bool):
        raise Damaged(
            f"{name}: its version is {_shown(version)}, and this ramferry {__version__} reads"
            f" versions up to {documents.VERSION}: use the ramferry that wrote it"
        )
    return {key: value for key, value in content.items() if key not in ("format", "version")}


def _shown(value: object) -> str:
    return ascii(value)[:40]


def _out_of_range(value: object, depth: int = 0) -> str | None:
    """Where a number does not fit 64 bits, or what nests too deep begins; None if all is well."""
    if depth > MOST_DEPTH:
        return ""
    if isinstance(value, dict | list):
        named = isinstance(value, dict)
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if (place := _out_of_range(inner, depth + 1)) is not None:
                return f"[{ascii(key)[:40] if named else key}]{place}"
        return None
    return "" if isinstance(value, int | float) and not abs(value) < LARGEST else None
