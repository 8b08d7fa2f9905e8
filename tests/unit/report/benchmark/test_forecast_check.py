"""report.foretold: forecasts beside what was measured, and where they did not come true."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from comparisons import comparison
from ramferry.report.benchmark.chapters import report
from ramferry.report.benchmark.comparison import Comparison
from ramferry.report.benchmark.differences import Named
from ramferry.report.benchmark.findings import warnings
from ramferry.report.benchmark.forecast_check import forecasts, missed, off_by
from ramferry.report.formats import markdown, page, spreadsheet, text

PAIR = 3
"""Index of the first case that is a relay pair: none."""


def told(factor: float | None) -> Comparison:
    """A comparison whose first relay pair was forecast at so many times what it took."""
    found = comparison()
    cases = list(found.cases)
    case = cases[PAIR]
    assert case.forecast is not None
    times = sorted(result.total_time_ms for result in case.results)
    expected = None if factor is None else times[1] * factor
    cases[PAIR] = replace(case, forecast=replace(case.forecast, expected_ms=expected))
    return replace(found, cases=tuple(cases), forecast_notes=("the host was busy",))


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1.25, []),
        (0.75, []),
        (1.26, ["none (relay pair) (+26%)"]),
        (0.7, ["none (relay pair) (-30%)"]),
        (None, ["none (relay pair) (not to converge, and it did)"]),
    ],
)
def test_what_is_off_by_more_than_a_quarter_is_said(factor: float | None, said: list[str]) -> None:
    found = told(factor)
    assert missed(found) == said
    sentence = f"Forecasts were off by more than 25%: {', '.join(said)}."
    assert (sentence in warnings(found)) is bool(said)
    grid = forecasts(found)
    assert grid is not None
    assert grid.notes[-1] == "The host was busy."
    assert ("All that was measured is within 25%." in grid.notes[0]) is not bool(said)
    assert [row[0].text for row in grid.rows] == [
        "none (relay pair)",
        "zstd 1 (relay pair)",
        "qatzip 1 (relay pair)",
    ]


def test_a_row_has_what_was_told_and_what_came() -> None:
    found = told(1.3)
    grid = forecasts(found)
    assert grid is not None
    times = sorted(result.total_time_ms for result in found.cases[PAIR].results)
    _, expected, measured, off, wire, _, recv, limit = grid.rows[0]
    assert (expected.text, measured.text) == (f"{times[1] * 1.3:.0f}", str(times[1]))
    assert measured.below == f"{times[0]} – {times[2]}"
    assert (off.text, off.below) == ("+30%", "more than 25%")
    assert wire.text == "+0%"
    assert -25 < int(recv.text.removesuffix("%")) < -10
    assert limit.text == "link"


def test_what_was_not_to_converge_has_no_number() -> None:
    grid = forecasts(told(None))
    assert grid is not None
    assert (grid.rows[0][1].text, grid.rows[0][3].text) == ("never", "n/a")


def test_a_forecast_without_a_bound_or_a_result() -> None:
    found = comparison()
    case = found.cases[PAIR]
    assert case.forecast is not None
    unmeasured = replace(case, runs=(), forecast=replace(case.forecast, high_ms=None))
    found = replace(found, cases=(unmeasured,))
    assert off_by(unmeasured) is None
    assert missed(found) == []
    grid = forecasts(found)
    assert grid is not None
    assert grid.rows[0][1].below.endswith(" – …")
    assert grid.rows[0][3].text == "n/a"


def test_without_forecasts_there_is_no_table() -> None:
    found = comparison()
    assert forecasts(replace(found, cases=found.cases[:PAIR])) is None


def test_what_others_took_is_said_where_it_matters() -> None:
    found = told(1.0)
    runs = [[replace(run, others_cores=0.1) for run in case.runs] for case in found.cases]
    runs[0][0] = replace(runs[0][0], others_cores=1.9)
    cases = zip(found.cases, runs, strict=True)
    calm = replace(found, cases=tuple(replace(case, runs=tuple(mine)) for case, mine in cases))
    assert not [said for said in warnings(calm) if "Others" in said]
    busy = replace(calm, cases=calm.cases[:1])
    busy = replace(busy, cases=(replace(busy.cases[0], runs=busy.cases[0].runs[:2]),))
    assert (
        "Others kept 1.0 cores of this host busy during the runs (0.1 to 1.9): times are longer"
        " than on a quiet host, for which the forecasts are."
    ) in warnings(busy)


def test_every_format_says_it() -> None:
    measured = [Named("r.json", told(1.5))]
    sentence = "off by more than 25%: none (relay pair) (+50%)"
    assert text.draw(report(measured)).count(sentence) == 1
    whole = page.draw(report(measured)).partition("<script")[0]
    assert whole.count(sentence) == 1
    drawn = markdown.draw(report(measured))
    assert "## Forecast" in drawn
    assert "none (relay pair) (+50%)" in drawn.replace("\\", "")
    rows = list(csv.DictReader(io.StringIO(spreadsheet.draw(measured))))
    pair = [row for row in rows if row["label"] == "none (relay pair)"]
    assert {round(float(row["off_by"]), 1) for row in pair} <= {0.4, 0.5, 0.6}
    assert all(float(row["forecast_ms"]) > 0 for row in pair)
    assert {row["forecast_ms"] for row in rows if row["route"] != "relay pair"} == {""}


def test_of_a_benchmark_without_a_run_nothing_is_said_to_be_measured() -> None:
    found = comparison()
    bare = replace(
        found, cases=tuple(replace(case, runs=()) for case in found.cases), finished=False
    )
    drawn = text.draw(report([Named("r.json", bare)]))
    assert "interrupted before a run was finished: nothing is measured." in drawn
    assert "None of it was measured." in drawn
    assert "within 25%" not in drawn
    assert "Results" not in drawn
    assert "As ratios to none" not in drawn
    markdown.draw(report([Named("r.json", bare)]))
    page.draw(report([Named("r.json", bare)]))
