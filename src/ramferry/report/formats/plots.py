"""Plots over the cases of a comparison: bars with their spread, ratio against CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ramferry.report.benchmark.columns import (
    CPU_PER_GIB,
    RATIO,
    Spread,
    recv_cpu_per_gib,
    send_cpu_per_gib,
    spread,
)
from ramferry.report.benchmark.comparison import CaseRuns, Comparison, Run
from ramferry.report.benchmark.differences import Named, shared
from ramferry.report.drawing.escaping import in_plot
from ramferry.report.formats.figures import Figure, axis, layout, legend, styles, with_legend

BAR: Final = 14
"""Height of a bar in pixels. The y axis is in pixels too, so that labels stay at their bars."""
LABEL: Final = 22
"""Height of the line of text above the bars of a case."""
GAP: Final = 12
LONGEST_LABEL: Final = 38
"""Characters of a label that leave room for the figures on a phone."""

_PALE: Final = 0.45

Quantity = Callable[[Run], float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """One bar for each row, all of the same kind."""

    name: str
    spreads: Sequence[Spread | None]
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Rows:
    """The label and colour of each row, from the top."""

    labels: Sequence[str]
    colours: Sequence[str]


def total_time(comparison: Comparison) -> Figure:
    """Total time of each case in seconds, with its spread and what was forecast."""
    series = Series("", _over(comparison.cases, _seconds))
    bars = _bars(_rows(comparison), [series], "s", 2)
    told = [(row, case.forecast) for row, case in enumerate(comparison.cases) if case.forecast]
    known = [(row, one.expected_ms / 1000) for row, one in told if one.expected_ms is not None]
    if known:
        bars["data"].append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "forecast",
                "x": [seconds for _, seconds in known],
                "y": [row * (LABEL + BAR + GAP) + LABEL + BAR / 2 for row, _ in known],
                "marker": {"symbol": "diamond-open", "size": 11, "color": "@ink"},
                "hovertemplate": "%{x:.2f} s forecast",
            }
        )
    return bars


def downtime(comparison: Comparison) -> Figure:
    """Downtime of each case in milliseconds, with its spread."""
    return _bars(_rows(comparison), [Series("", _over(comparison.cases, _still))], "ms", 0)


def cpu(comparison: Comparison) -> Figure:
    """CPU seconds of each side per GiB of the guest's memory, with their spreads."""
    memory = comparison.scenario.memory_bytes
    send = _over(comparison.cases, lambda run: send_cpu_per_gib(run, memory))
    recv = _over(comparison.cases, lambda run: recv_cpu_per_gib(run, memory))
    series = [Series("send", send), Series("receive", recv, _PALE)]
    return _bars(_rows(comparison), series, "s per GiB", 2)


def before_and_after(before: Named, after: Named) -> Figure:
    """Total time in seconds of the cases that two comparisons share."""
    both = shared(before.comparison, after.comparison)
    look = styles(before.comparison)
    labels = [one.label for one, _ in both]
    series = [
        Series(before.name, _over([one for one, _ in both], _seconds), _PALE),
        Series(after.name, _over([other for _, other in both], _seconds)),
    ]
    return _bars(Rows(labels, [look[label].colour for label in labels]), series, "s", 2)


def ratio_against_cpu(comparison: Comparison) -> Figure:
    """Compression ratio against CPU time: a small mark for each run, a large one for the median."""
    memory = comparison.scenario.memory_bytes
    look = styles(comparison)
    data: list[Figure] = []
    for case in comparison.cases:
        spots = [(CPU_PER_GIB.figure(run, memory), RATIO.figure(run, memory)) for run in case.runs]
        known = [(x, y) for x, y in spots if x is not None and y is not None]
        middles = spread(x for x, _ in known), spread(y for _, y in known)
        if middles[0] is None or middles[1] is None:
            continue
        style, name = look[case.label], in_plot(case.label)
        marker = {"color": style.colour, "symbol": style.symbol}
        hover = {"hovertemplate": "%{x:.2f} s per GiB, ratio %{y:.2f}", "name": name}
        common: Figure = {"type": "scatter", "mode": "markers", **hover, "legendgroup": name}
        small = {"marker": {**marker, "size": 6, "opacity": 0.4}, "showlegend": False}
        large = {"marker": {**marker, "size": 13}, "x": [middles[0].middle]}
        data.append({**common, **small, "x": [x for x, _ in known], "y": [y for _, y in known]})
        data.append({**common, **large, "y": [middles[1].middle]})
    axes = {
        "xaxis": axis("CPU seconds of both sides per GiB of guest"),
        "yaxis": axis("ratio"),
    }
    return {"data": data, "layout": layout(with_legend(len(comparison.cases)), **axes, **legend())}


def _seconds(run: Run) -> float | None:
    return None if run.result is None else run.result.total_ms / 1000


def _still(run: Run) -> float | None:
    return None if run.result is None else run.result.downtime_ms


def _over(cases: Sequence[CaseRuns], quantity: Quantity) -> list[Spread | None]:
    return [spread(quantity(run) for run in case.runs) for case in cases]


def _rows(comparison: Comparison) -> Rows:
    look = styles(comparison)
    labels = [case.label for case in comparison.cases]
    return Rows(labels, [look[label].colour for label in labels])


def _bars(rows: Rows, series: Sequence[Series], unit: str, digits: int) -> Figure:
    """Horizontal bars; each row's label and figures stand above its bars."""
    step = LABEL + BAR * len(series) + GAP
    data = [
        _trace(
            rows, one, [row * step + LABEL + BAR * (index + 0.5) for row in range(len(rows.labels))]
        )
        for index, one in enumerate(series)
    ]
    for trace in data:
        trace["hovertemplate"] = f"%{{x:.{digits}f}} {unit}"
    texts: list[Figure] = []
    for row, label in enumerate(rows.labels):
        found = [one.spreads[row] for one in series]
        texts += _words(row * step + LABEL, label, _values(found, digits, unit))
    span = max(step * len(rows.labels), step)
    axes = {
        "xaxis": axis(unit, fixedrange=True),
        "yaxis": {"range": [span, 0], "visible": False, "fixedrange": True},
    }
    more: Figure = {"barmode": "overlay", "annotations": texts, **axes}
    plain = layout(span + 60, **more)
    return {"data": data, "layout": plain | {"margin": {"l": 6, "r": 14, "t": 6, "b": 54}}}


def _trace(rows: Rows, series: Series, places: list[float]) -> Figure:
    found = [
        (place, one, colour)
        for place, one, colour in zip(places, series.spreads, rows.colours, strict=True)
        if one is not None
    ]
    return {
        "type": "bar",
        "orientation": "h",
        "name": in_plot(series.name),
        "width": BAR - 2,
        "x": [one.middle for _, one, _ in found],
        "y": [place for place, _, _ in found],
        "marker": {"color": [colour for _, _, colour in found], "opacity": series.opacity},
        "error_x": {
            "type": "data",
            "array": [one.high - one.middle for _, one, _ in found],
            "arrayminus": [one.middle - one.low for _, one, _ in found],
            "color": "@ink",
            "thickness": 1.5,
            "width": 3,
        },
    }


def _values(found: Sequence[Spread | None], digits: int, unit: str) -> str:
    known = ["n/a" if one is None else f"{one.middle:.{digits}f}" for one in found]
    return f"{' + '.join(known) if unit == 's per GiB' else ' → '.join(known)} {unit}"


def _words(place: float, label: str, values: str) -> list[Figure]:
    """The line above a row's bars: its label to the left, its figures to the right."""
    short = label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"
    common: dict[str, Any] = {"xref": "paper", "y": place, "yanchor": "bottom", "showarrow": False}
    return [
        {**common, "x": 0, "xanchor": "left", "text": in_plot(short)},
        {**common, "x": 1, "xanchor": "right", "text": values, "font": {"color": "@faint"}},
    ]
