"""What ``ramferry bench`` measured: the scenario, the machine, every run; to and from JSON.

The records are the document: its keys are their field names. Sizes are bytes, rates bytes per
second, times seconds unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from ramferry import __version__
from ramferry.metrics import MigrationResult
from ramferry.report.benchmark.decoding import Damaged, joined, read_json, record
from ramferry.report.document import FORMAT, OF_WIRE, row

TC: Final = "tc"
RELAY_PACING: Final = "relay pacing"
UNSHAPED: Final = "none"
HOW: Final = (TC, RELAY_PACING, UNSHAPED)
"""How a link's rate is held."""

BUILT_IN: Final = "QEMU built-in"
RELAY_PAIR: Final = "relay pair"
NATIVE: Final = "native"
ROUTES: Final = (BUILT_IN, RELAY_PAIR, NATIVE)
"""Who compresses: the QEMUs, relays beside them, or Ramferry's own sender and receiver."""


@dataclass(frozen=True, slots=True)
class Link:
    """What lies between the two hosts."""

    rate: float
    """Bytes per second; 0 where nothing limits it."""
    how: str
    """One of ``HOW``."""
    probed: float | None = None
    """Bytes per second that a probe found; None where there was none."""


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
    """The guest's memory in the scenario's source; None where this one has it, too."""
    scaling: str = ""
    """A sentence about what was scaled and why; empty where nothing was."""


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """Where a migration stood at one moment. Counts are sums since its begin."""

    seconds: float
    """Since the migration began."""
    iteration: int
    """QEMU's dirty-sync-count."""
    status: str
    """QEMU's: "active", "device", "completed" …"""
    wire_bytes: int | None
    """None where nobody counts them."""
    remaining_bytes: int
    """Guest memory that is dirty and not sent."""
    guest_bytes: int
    """Guest memory sent, zero pages included, pages sent again counted again."""


@dataclass(frozen=True, slots=True)
class Run:
    """One migration: its result, or why there is none."""

    result: MigrationResult | None
    """None where it failed."""
    send_cpu_seconds: float | None = None
    """User and system time of the sending side; None where it is not known."""
    recv_cpu_seconds: float | None = None
    timeline: tuple[TimelinePoint, ...] = ()
    error: str = ""
    """The sentence of a run that failed; empty for one that did not."""
    others_cores: float | None = None
    """Cores of the host that processes of others kept busy meanwhile; None where not known."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What ``ramferry plan time`` said of a case before its runs."""

    expected_ms: float | None
    """Total time; None where it was not to converge."""
    low_ms: float | None
    high_ms: float | None
    """None where there is no bound."""
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
    route: str
    """One of ``ROUTES``."""
    runs: tuple[Run, ...] = ()
    forecast: Forecast | None = None
    """None where none can be made: of other routes than a relay pair."""
    skipped: str = ""
    """Why it is not run here, a sentence; empty where it is."""

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
    """False where it was interrupted: runs may be missing."""
    ramferry: str = field(default=__version__)
    """The version that measured."""
    forecast_notes: tuple[str, ...] = ()
    """What was said with the forecasts."""


def document(comparison: Comparison) -> dict[str, Any]:
    """For ``report.document.write_document``."""
    content = {"format": FORMAT, "ramferry": comparison.ramferry, **asdict(comparison)}
    for case, written in zip(comparison.cases, content["cases"], strict=True):
        for run, entry in zip(case.runs, written["runs"], strict=True):
            entry["result"] = None if run.result is None else row(run.result)
    return content


def read(path: Path) -> Comparison:
    """The comparison in a file that ``ramferry bench`` wrote.

    :raise Damaged: it is none, is damaged, or has another format; names the file and the field.
    :raise HostError: it is there and cannot be read.
    """
    return from_document(read_json(path), str(path))


def from_document(content: Mapping[str, Any], name: str) -> Comparison:
    """The inverse of ``document``.

    :param name: of the file, for the sentence.
    :raise Damaged: as ``read``.
    """
    _check_format(content, name)
    comparison = record(Comparison, {**content, "cases": _counted(content["cases"])}, f"{name}:")
    _check(comparison, name)
    return comparison


def _check_format(content: Mapping[str, Any], name: str) -> None:
    if "ramferry" not in content or "format" not in content:
        raise Damaged(f"{name}: is no document of ramferry: it has no format and ramferry")
    if content["format"] != FORMAT or isinstance(content["format"], bool):
        raise Damaged(
            f"{name}: format is {str(content['format'])[:20]!r}, and this ramferry {__version__}"
            f" reads format {FORMAT}: use the version that wrote it"
        )
    if "scenario" not in content or "cases" not in content:
        raise Damaged(f"{name}: scenario and cases are missing: ramferry bench did not write it")


def _counted(cases: object) -> object:
    """Write 0 where ``row`` has null, since nobody counted the wire's bytes."""
    if not isinstance(cases, list):
        return cases
    return [
        {**case, "runs": [_counted_run(run) for run in case["runs"]]}
        if isinstance(case, dict) and isinstance(case.get("runs"), list)
        else case
        for case in cases
    ]


def _counted_run(run: object) -> object:
    if not isinstance(run, dict) or not isinstance(run.get("result"), dict):
        return run
    result = run["result"]
    return {**run, "result": result | {key: 0 for key in OF_WIRE if result.get(key, 0) is None}}


def _check(comparison: Comparison, name: str) -> None:
    """What types cannot say."""
    where = f"{name}:"
    _one_of(HOW, comparison.scenario.link.how, f"{where} scenario.link.how")
    labels: set[str] = set()
    for index, case in enumerate(comparison.cases):
        place = f"{where} cases[{index}]"
        _one_of(ROUTES, case.route, joined(place, "route"))
        if case.label in labels:
            raise Damaged(f"{place}.label is the label of another case, too")
        labels.add(case.label)
        forecast = case.forecast
        if forecast and forecast.expected_ms is not None and forecast.expected_ms <= 0:
            raise Damaged(f"{joined(place, 'forecast')}.expected_ms is not more than 0")
        if case.skipped and case.runs:
            raise Damaged(f"{joined(place, 'skipped')} is given, and there are runs")
        for number, run in enumerate(case.runs):
            if (run.result is None) != bool(run.error):
                said = "both a result and an" if run.error else "neither a result nor an"
                raise Damaged(f"{place}.runs[{number}] has {said} error")


def _one_of(allowed: tuple[str, ...], value: str, where: str) -> None:
    if value not in allowed:
        raise Damaged(f"{where} is none of {', '.join(allowed)}")
