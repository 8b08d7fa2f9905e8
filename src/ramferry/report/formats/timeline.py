"""Plots over the time of a migration: rate and bytes left, iterations and the switchover."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

from ramferry.report.benchmark.comparison import Comparison, Run, TimelinePoint
from ramferry.report.benchmark.runs import median_run
from ramferry.report.drawing.escaping import in_plot
from ramferry.report.formats.figures import Figure, axis, layout, legend, styles, with_legend
from ramferry.vocabulary import GIB

MOVING: Final = frozenset({"none", "setup", "wait-unplug", "active"})
"""QEMU's statuses in which the guest runs at the source; the others belong to the switchover."""

MOST_NUMBERED: Final = 12
"""If there are more iterations than this, their lines have no numbers."""
MOST_LINES: Final = 200

LEAST_STEP: Final = 0.4
"""Least number of seconds over which a rate is taken. A relay counts about as often as QEMU is
asked, so that between two answers its count may rise not at all, or twice as much as it should; and
the first answers are milliseconds apart."""
MOST_STEPS: Final = 80

RUN_HEIGHT: Final = 480
"""Height in pixels, also of the plot beside it."""

_MEGA: Final = 1e6

Points = Sequence[TimelinePoint]


def left_over_time(comparison: Comparison) -> Figure | None:
    """Guest memory left over time, each case's median run; None if no run has a timeline."""
    look = styles(comparison)
    data = []
    for case in comparison.cases:
        index = median_run(case)
        if index is None:
            continue
        style = look[case.label]
        points = _begun(case.runs[index].timeline)
        trace = _line(case.label, points, lambda one: one.remaining_bytes / GIB)
        data.append({**trace, "line": {"color": style.colour, "dash": style.dash, "width": 2}})
    if not data:
        return None
    axes = {"xaxis": axis("seconds"), "yaxis": axis("GiB left")}
    height = max(RUN_HEIGHT, with_legend(len(data)))
    return {"data": data, "layout": layout(height, hovermode="closest", **axes, **legend())}


def one_run(run: Run, colour: str) -> Figure:
    """Rates above, bytes left below, with lines at each iteration and at the switchover."""
    points = sorted(run.timeline, key=lambda one: one.seconds)
    wire = _rate(points, lambda one: one.wire_bytes)
    guest = _rate(points, lambda one: one.carried_bytes)
    left = _line("left", _begun(points), lambda one: one.remaining_bytes / GIB)
    data = [
        {
            **guest,
            "name": "guest memory",
            "line": {"color": "@ink", "width": 1, "shape": "vh"},
            "opacity": 0.55,
        },
        {**wire, "name": "wire", "line": {"color": colour, "width": 2, "shape": "vh"}},
        {**left, "line": {"color": colour, "width": 2}, "yaxis": "y2", "showlegend": False},
    ]
    data[2] |= {"fill": "tozeroy", "fillcolor": "@veil"}
    shapes, texts = _marks(points, switchover(run))
    axes = {
        "xaxis": axis("seconds", anchor="y2"),
        "yaxis": axis("MB/s", domain=[0.5, 1]),
        "yaxis2": axis("GiB left", domain=[0, 0.42]),
    }
    more: Figure = {"shapes": shapes, "annotations": texts, "hovermode": "x unified", **axes}
    more["legend"] = {"orientation": "h", "x": 0, "y": -0.13, "font": {"size": 12}}
    plain = layout(RUN_HEIGHT, showlegend=True, **more)
    return {"data": data, "layout": plain | {"margin": {"l": 52, "r": 14, "t": 34, "b": 46}}}


def _begun(points: Points) -> Points:
    """The points from the first iteration on: before it QEMU reports that nothing is left."""
    return [one for one in points if one.dirty_sync_count > 0] or points


def _line(name: str, points: Points, value: Callable[[TimelinePoint], float]) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": in_plot(name),
        "x": [one.seconds for one in points],
        "y": [value(one) for one in points],
        "hovertemplate": "%{y:.3~f} GiB left",
    }


def _rate(points: Points, count: Callable[[TimelinePoint], int | None]) -> Figure:
    """The rate between points in 10^6 bytes a second; empty if nobody counted."""
    spots: list[tuple[float, float]] = []
    known = [(one.seconds, counted) for one in points if (counted := count(one)) is not None]
    for (begin, before), (end, after) in pairwise(_apart(known)):
        spots.append((end, max(0, after - before) / (end - begin) / _MEGA))
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in spots],
        "y": [y for _, y in spots],
        "hovertemplate": "%{y:.0f} MB/s",
    }


def _apart(known: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Points that are far enough apart to take rates between them, up to the last one."""
    if not known:
        return []
    least = max(LEAST_STEP, (known[-1][0] - known[0][0]) / MOST_STEPS)
    chosen = [known[0]]
    for seconds, count in known[1:]:
        if seconds - chosen[-1][0] >= least:
            chosen.append((seconds, count))
    if known[-1][0] > chosen[-1][0]:
        # what is left is no step of its own, unless there is no other
        chosen[max(1, len(chosen) - 1) :] = [known[-1]]
    return chosen


def iterations(points: Points) -> list[tuple[float, int]]:
    """When each iteration began, as far as the points tell: seconds and QEMU's number."""
    begun = []
    highest = 0
    for one in points:
        if one.dirty_sync_count > highest:
            highest = one.dirty_sync_count
            begun.append((one.seconds, highest))
    return begun


def switchover(run: Run) -> float | None:
    """When the source's guest stopped, in seconds; None if it never did.

    The result is more exact than the points, since a QEMU may not answer during the switchover.
    """
    if run.result is not None:
        return max(0, run.result.total_time_ms - run.result.downtime_ms) / 1000
    points = sorted(run.timeline, key=lambda one: one.seconds)
    return next((one.seconds for one in points if one.status not in MOVING), None)


def _marks(points: Points, stopped: float | None) -> tuple[list[Figure], list[Figure]]:
    """Lines over both halves, and the words above them."""
    begun = iterations(points)
    shapes = [_rule(seconds, "@line", "dot") for seconds, _ in begun[-MOST_LINES:]]
    texts = []
    if len(begun) <= MOST_NUMBERED:
        texts = [_word(seconds, str(number), "left") for seconds, number in begun]
    if stopped is not None:
        shapes.append(_rule(stopped, "@ink", "solid"))
        texts.append({**_word(stopped, "switchover", "right"), "y": 1.045})
    return shapes, texts


def _rule(seconds: float, colour: str, dash: str) -> Figure:
    line = {"color": colour, "width": 1, "dash": dash}
    place: dict[str, Any] = {"x0": seconds, "x1": seconds, "y0": 0, "y1": 1}
    return {"type": "line", "xref": "x", "yref": "paper", **place, "line": line}


def _word(seconds: float, text: str, anchor: str) -> Figure:
    place = {"xref": "x", "yref": "paper", "x": seconds, "y": 1, "xanchor": anchor}
    font = {"size": 11, "color": "@faint"}
    return {**place, "yanchor": "bottom", "text": text, "showarrow": False, "font": font}
