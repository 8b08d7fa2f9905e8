"""What all plots share: colours by method, dashes and symbols by variant, axes.

A figure is a plain mapping in plotly's schema. Its colours are names ("@qatzip", "@grid") that
page.js looks up in page.css, so that a plot follows the page between light and dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ramferry.codec import METHODS
from ramferry.report.benchmark.comparison import CaseRuns, Comparison
from ramferry.vocabulary import AUTO

Figure = dict[str, Any]

_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS: Final = ("circle", "diamond", "square", "triangle-up", "cross", "x")
_OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Style:
    """How a case looks in every plot."""

    colour: str
    dash: str
    symbol: str


def styles(comparison: Comparison) -> Mapping[str, Style]:
    """By label: a colour for each method, whose levels and routes differ in dash and symbol."""
    return styles_of(comparison.cases)


def styles_of(cases: Iterable[CaseRuns]) -> Mapping[str, Style]:
    """The same of the cases of several comparisons, each label once."""
    found: dict[str, Style] = {}
    seen: dict[str, int] = {}
    for case in cases:
        name = case.method if case.method in (*METHODS, AUTO) else _OTHER
        variant = seen.get(name, 0)
        seen[name] = variant + 1
        dash, symbol = _DASHES[variant % len(_DASHES)], _SYMBOLS[variant % len(_SYMBOLS)]
        found[case.label] = Style(f"@{name}", dash, symbol)
    return found


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """An axis from 0 with a quiet grid."""
    return {
        "title": {"text": title, "font": {"size": 12, "color": "@faint"}},
        "rangemode": "tozero",
        "gridcolor": "@grid",
        "zerolinecolor": "@line",
        "tickfont": {"size": 12, "color": "@faint"},
        **more,
    }


def layout(height: int, **more: Any) -> dict[str, Any]:
    """A transparent figure in the page's font."""
    return {
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": "@ink"},
        "margin": {"l": 52, "r": 14, "t": 14, "b": 46},
        "hoverlabel": {"bgcolor": "@card", "bordercolor": "@line", "font": {"color": "@ink"}},
        "showlegend": False,
        **more,
    }


def legend() -> dict[str, Any]:
    """Layout for a legend above the plot, in as many lines as it takes."""
    place = {"orientation": "h", "x": 0, "y": 1.03, "yanchor": "bottom"}
    return {"showlegend": True, "legend": {**place, "font": {"size": 12}}}


def with_legend(cases: int) -> int:
    """Height in pixels of a plot with a line of legend for each case."""
    return 330 + 22 * cases
