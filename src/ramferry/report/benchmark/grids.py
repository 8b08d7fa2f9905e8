"""The tables of a comparison, which every format of the report draws. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ramferry.metrics import shown_backend
from ramferry.report.benchmark.columns import (
    BASE,
    DOCUMENTED,
    DOCUMENTED_MEASURES,
    MEASURES,
    Measure,
    Spread,
    base_of,
    documented_ratios,
    doubt,
    quotient,
    spread_of,
)
from ramferry.report.benchmark.comparison import RELAY_PACING, UNSHAPED, CaseRuns, Comparison
from ramferry.report.grid import NOT_KNOWN, Cell, Column, Grid, row
from ramferry.units import memory, rate
from ramferry.vocabulary import RELAY_PAIR


def results(comparison: Comparison) -> Grid:
    """The table of results: medians, and the spread below them; no rows if nothing has run."""
    columns = (
        Column("method", words=True),
        *(Column(measure.name, measure.unit) for measure in MEASURES),
        Column("runs"),
        Column("backend", words=True),
    )
    measured = any(case.runs for case in comparison.cases)
    cases = comparison.cases if measured else ()
    rows = tuple(_result_row(case, comparison.scenario.memory_bytes) for case in cases)
    notes = (
        "Medians; below them the least and the greatest of all runs.",
        "CPU in % of one core; CPU seconds are both sides', per GiB of the guest's memory.",
        "Throughput is 10⁶ bit/s on the wire; the ratio is that of the pages with content.",
    )
    return Grid(columns, rows, "Results", notes)


def _result_row(case: CaseRuns, guest_memory: int) -> tuple[Cell, ...]:
    figures = [figure(measure, spread_of(case, measure, guest_memory)) for measure in MEASURES]
    backends = dict.fromkeys(shown_backend(one.backend, one.member_size) for one in case.results)
    done, begun = len(case.results), len(case.runs)
    runs = Cell(str(done)) if done == begun else Cell(str(done), f"{begun - done} failed")
    return (Cell(case.label), *figures, runs, Cell("; ".join(backends) or NOT_KNOWN))


def figure(measure: Measure, found: Spread | None) -> Cell:
    """A median and its spread below it; the figure alone if the runs do not differ."""
    if found is None:
        return Cell(NOT_KNOWN, faint=True)
    text, low, high = (measure.text(one) for one in (found.middle, found.low, found.high))
    return Cell(text, "" if low == high else f"{low} – {high}")


def ratios(comparison: Comparison) -> Grid:
    """Every case as a ratio to ``none``, and the figures of QEMU's page as such ratios."""
    columns = (
        Column("method", words=True),
        *(Column(measure.name, "× none") for measure in DOCUMENTED_MEASURES),
    )
    rows: list[tuple[Cell, ...]] = []
    for case in comparison.cases:
        if case.method != BASE:
            rows.append((Cell(case.label), *_over_base(comparison, case)))
    for method in DOCUMENTED:
        found = documented_ratios(method)
        if method != BASE and found is not None:
            cells = (Cell(f"{one:.2f}", faint=True) for one in found)
            rows.append((Cell(f"{method}, documented", faint=True), *cells))
    notes = (
        "Each figure over that of none on the same route; below, what the spreads allow.",
        "Documented: the table of QEMU's own page about its QATzip method (8 channels, 10 Gbit/s,"
        " two hosts with QAT devices).",
    )
    return Grid(columns, tuple(rows), "As ratios to none", notes)


def _over_base(comparison: Comparison, case: CaseRuns) -> list[Cell]:
    base = base_of(comparison, case)
    guest_memory = comparison.scenario.memory_bytes
    cells = []
    for measure in DOCUMENTED_MEASURES:
        over = spread_of(case, measure, guest_memory)
        under = None if base is None else spread_of(base, measure, guest_memory)
        cells.append(ratio_cell(over, under))
    return cells


def ratio_cell(over: Spread | None, under: Spread | None) -> Cell:
    """One median over another; below it what the spreads allow, or what makes it doubtful."""
    found = quotient(over, under) if over and under else None
    if over is None or under is None or found is None:
        return Cell(NOT_KNOWN, faint=True)
    why = doubt(over, under)
    return Cell(f"{found.middle:.2f}", why or f"{found.low:.2f} – {found.high:.2f}", bool(why))


def failures(comparison: Comparison) -> Grid | None:
    """The runs that failed or were left out, each with its sentence; None if there are none."""
    skipped = [
        row(case.label, "all", f"not run: {case.skipped}")
        for case in comparison.cases
        if case.skipped
    ]
    failed = [
        row(case.label, str(number), run.error)
        for case in comparison.cases
        for number, run in enumerate(case.runs, 1)
        if run.error
    ]
    columns = (Column("method", words=True), Column("run"), Column("what went wrong", words=True))
    return Grid(columns, (*skipped, *failed), "Failed runs") if skipped or failed else None


def facts(comparison: Comparison) -> tuple[Grid, Grid]:
    """The facts of the scenario, and those of the machine."""
    columns = (Column("", words=True), Column("", words=True))
    measured = {"started": comparison.started, "ramferry": comparison.ramferry}
    machine = measured | dict(_flat(comparison.machine))
    return (
        Grid(columns, _lines(_scenario(comparison)), "Scenario"),
        Grid(columns, _lines(machine), "Machine"),
    )


def _lines(pairs: Mapping[str, str]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(row(name, value) for name, value in pairs.items() if value)


def _scenario(comparison: Comparison) -> dict[str, str]:
    scenario = comparison.scenario
    documented = scenario.documented_memory_bytes
    scaled = "" if documented is None else f" (documented: {memory(documented)})"
    return {
        "scenario": scenario.name,
        "guest": f"{scenario.guest}, {memory(scenario.memory_bytes)}{scaled}",
        "scaling": scenario.scaling,
        "fill": scenario.fill,
        "workload": scenario.workload,
        "link": link(comparison),
        "change": scenario.change,
        "channels": ", ".join(
            str(count) for count in sorted({case.channels for case in comparison.cases})
        ),
        "routes": ", ".join(dict.fromkeys(case.route for case in comparison.cases)),
    }


def link(comparison: Comparison) -> str:
    """The link in words: its rate, what holds it, what a probe found."""
    found = comparison.scenario.link
    said = f"{rate(found.rate)}" if found.rate else "not limited"
    held = f", by {found.how}" if found.how != UNSHAPED else ""
    own = [case.route for case in comparison.cases if case.route != RELAY_PAIR and not case.skipped]
    if found.how == RELAY_PACING and own:
        routes = " and ".join(dict.fromkeys(own))
        held += f" ({routes}: by the source's max-bandwidth, up to the switchover)"
    probed = "" if found.probed is None else f", {rate(found.probed)} by a probe"
    return said + held + probed


def _flat(found: Mapping[str, object], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested facts as lines: "libraries isal" → "1.9.1"."""
    for name, value in found.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}".replace("_", " "), _said(value)


def _said(value: object) -> str:
    if value is None:
        return NOT_KNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(_said(one) for one in value)
    return str(value)
