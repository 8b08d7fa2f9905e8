"""The plot of links of several rates, and where every format of the report shows them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import plotly.graph_objects
import pytest

from comparisons import comparison, series
from ramferry.report.benchmark.chapters import report
from ramferry.report.benchmark.differences import Named
from ramferry.report.benchmark.series_chapter import NamedSeries
from ramferry.report.formats import markdown, page, text
from ramferry.report.formats.over_rate import time_over_rate
from ramferry.report.formats.plotted import plotted


def test_a_line_for_each_method_and_auto_above_all() -> None:
    found = series()
    figure = time_over_rate(found)
    assert figure is not None
    *others, auto = figure["data"]
    assert auto["name"] == "auto (relay pair)"
    assert auto["line"]["width"] > max(one["line"]["width"] for one in others)
    assert len({one["name"] for one in others}) == 6
    assert auto["x"] == [0.25, 1.0, 10.0]
    case = next(case for case in found.comparisons[0].cases if case.method == "auto")
    times = sorted(one.total_time_ms for one in case.results)
    assert auto["y"][0] == pytest.approx(times[1] / 1000 / 4)
    assert auto["error_y"]["array"][0] == pytest.approx((times[2] - times[1]) / 4000)
    axes = figure["layout"]
    assert (axes["xaxis"]["type"], axes["yaxis"]["type"]) == ("log", "log")
    raw = re.sub(r'"@[a-z]+"', '"#123456"', json.dumps(figure, allow_nan=False))
    plotly.graph_objects.Figure(json.loads(raw))


def test_one_rate_makes_no_line() -> None:
    found = series()
    assert time_over_rate(replace(found, comparisons=found.comparisons[:1])) is None
    whole = plotted(report([], [NamedSeries("l", replace(found, comparisons=()))]))
    assert whole.series == ((),)


def test_every_format_has_the_rates_before_their_chapters() -> None:
    whole = report([], [NamedSeries("l.json", series())])
    drawn = text.draw(whole)
    assert drawn.startswith("auto over links (l.json)\n====")
    assert drawn.index("auto over the others") < drawn.index("Results")
    assert drawn.count("As ratios to none") == 3
    assert markdown.draw(whole).startswith("# auto over links\n\nAn idle guest.\n\n## auto over")
    html = page.draw(whole)
    assert "<title>auto over links</title>" in html
    assert 'data-figure="s0-rates"' in html
    assert html.index("What auto chose") < html.index('id="c0"')


def test_series_stand_beside_comparisons_that_are_compared() -> None:
    two = [Named("a.json", comparison()), Named("b.json", comparison(seed=2))]
    whole = report(two, [NamedSeries("l.json", series())])
    assert [grid.title for grid in whole.differences] == ["a.json → b.json"]
    assert len(whole.chapters) == 5
    assert len(plotted(whole).changes) == 1
    assert "s0-rates" in plotted(whole).figures
