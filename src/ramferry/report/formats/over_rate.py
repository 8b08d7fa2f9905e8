"""The plot over links of several rates: how long a guest takes, one line a method."""

from __future__ import annotations

from typing import Any, Final

from ramferry.report.benchmark.columns import Spread
from ramferry.report.benchmark.comparison import CaseRuns, Comparison
from ramferry.report.benchmark.series import LinkSeries, is_auto
from ramferry.report.benchmark.series_grids import name_of, time_of
from ramferry.report.drawing.escaping import in_plot
from ramferry.report.formats.figures import Figure, axis, layout, legend, styles_of, with_legend
from ramferry.vocabulary import GIB

_THICK: Final = 5
_THIN: Final = 1.5
FEWEST: Final = 2
"""Rates below which there is nothing to draw a line through."""

_LINES: Final = 3
"""Lines of a wide plot's legend for ten methods, roughly."""


def time_over_rate(series: LinkSeries) -> Figure | None:
    """Total time for each GiB of the guest over the link's rate, both axes logarithmic.

    That of ``auto`` is drawn last, above all others. None if fewer than ``FEWEST`` rates have
    results.
    """
    rates = [one for one in series.comparisons if any(case.results for case in one.cases)]
    if len(rates) < FEWEST:
        return None
    cases = {case.label: case for one in rates for case in one.cases if case.results}
    ordered = sorted(cases.values(), key=is_auto)
    look = styles_of(ordered)
    data = []
    for case in ordered:
        trace = _line(rates, case.label)
        style, thick = look[case.label], is_auto(case)
        width = _THICK if thick else _THIN
        trace["line"] = {"color": style.colour, "dash": style.dash, "width": width}
        trace["marker"] = {"color": style.colour, "symbol": style.symbol, "size": 2 * width + 3}
        data.append(trace)
    axes = {
        "xaxis": _log("Gbit/s", [_gigabits(one) for one in rates]),
        "yaxis": _log("seconds per GiB of guest"),
    }
    height = with_legend(_LINES + len(data) // 3)
    return {"data": data, "layout": layout(height + 120, **axes, **legend())}


def _log(title: str, ticks: list[float] | None = None) -> dict[str, Any]:
    plain = axis(title, type="log")
    del plain["rangemode"]
    if ticks:
        plain |= {"tickvals": ticks, "ticktext": [f"{one:g}" for one in ticks]}
    return plain


def _gigabits(comparison: Comparison) -> float:
    return comparison.scenario.link.rate * 8 / 1e9


def _line(rates: list[Comparison], label: str) -> Figure:
    spots = [
        (one, found)
        for one in rates
        for case in one.cases
        if case.label == label and (found := _per_gib(one, case))
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": in_plot(label),
        "x": [_gigabits(one) for one, _ in spots],
        "y": [found.middle for _, found in spots],
        "text": [in_plot(name_of(one)) for one, _ in spots],
        "hovertemplate": "%{text}: %{y:.2f} s per GiB",
        "error_y": {
            "type": "data",
            "array": [found.high - found.middle for _, found in spots],
            "arrayminus": [found.middle - found.low for _, found in spots],
            "thickness": 1,
            "width": 2,
        },
    }


def _per_gib(comparison: Comparison, case: CaseRuns) -> Spread | None:
    found = time_of(comparison, case)
    if found is None:
        return None
    scale = GIB / 1000 / comparison.scenario.memory_bytes
    return Spread(found.middle * scale, found.low * scale, found.high * scale, found.count)
