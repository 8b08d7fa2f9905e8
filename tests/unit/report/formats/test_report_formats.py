"""What the formats of the report show, and that texts out of a file stay texts."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from typing import Any

import plotly.graph_objects
import pytest
from jinja2 import UndefinedError

from comparisons import comparison, failed
from ramferry.report.benchmark.chapters import report
from ramferry.report.benchmark.comparison import Comparison, Link
from ramferry.report.benchmark.differences import Named, differences
from ramferry.report.benchmark.findings import headlines
from ramferry.report.benchmark.runs import median_run
from ramferry.report.drawing.escaping import in_csv, in_markdown, in_plot, printable
from ramferry.report.formats import markdown, page, plots, spreadsheet, text, timeline
from ramferry.report.formats.plotted import plotted

EVIL = "<img src=x onerror=alert(1)>\x1b[31m|\n</script>"


def _evil() -> Comparison:
    found = failed(comparison(repeats=2), EVIL)
    scenario = replace(found.scenario, title=EVIL, description=EVIL, scaling=EVIL, fill=EVIL)
    cases = tuple(replace(case, label=EVIL + case.label, method=EVIL) for case in found.cases)
    return replace(found, scenario=scenario, cases=cases, machine={EVIL: [EVIL]}, ramferry=EVIL)


def _empty() -> Comparison:
    found = comparison()
    return replace(found, cases=(), machine={}, scenario=replace(found.scenario, memory_bytes=0))


@pytest.mark.parametrize("found", [comparison(), _evil(), _empty()], ids=["good", "evil", "empty"])
def test_plots_are_in_plotlys_schema(found: Comparison) -> None:
    measured = [Named("a", found), Named("b", found)]
    for figure in plotted(report(measured)).figures.values():
        raw = re.sub(r'"@[a-z]+"', '"#123456"', json.dumps(figure, allow_nan=False))
        plotly.graph_objects.Figure(json.loads(raw))


def test_bars_have_the_medians_and_the_spread() -> None:
    found = comparison()
    bars, forecasts = plots.total_time(found)["data"]
    times = sorted(result.total_time_ms / 1000 for result in found.cases[0].results)
    assert bars["x"][0] == times[1]
    assert bars["error_x"]["array"][0] == pytest.approx(times[2] - times[1])
    assert bars["error_x"]["arrayminus"][0] == pytest.approx(times[1] - times[0])
    assert len(bars["x"]) == len(found.cases)
    pairs = [case.forecast.expected_ms for case in found.cases if case.forecast]
    assert forecasts["x"] == [(one or 0) / 1000 for one in pairs]
    assert forecasts["y"] == bars["y"][3:6]


def test_a_run_over_time() -> None:
    run = comparison().cases[0].runs[0]
    points = run.timeline
    assert [number for _, number in timeline.iterations(points)] == [1, 2, 3, 4]
    assert run.result is not None
    stopped = (run.result.total_time_ms - run.result.downtime_ms) / 1000
    assert timeline.switchover(run) == stopped
    assert timeline.switchover(replace(run, result=None, error="lost")) == points[39].seconds
    figure = timeline.one_run(run, "@none")
    assert figure["layout"]["shapes"][-1]["x0"] == stopped
    guest, wire, left = figure["data"]
    # points are 0.35 s apart, and rates are taken over 0.4 s at least: over every other one
    carried = points[4].wire_bytes, points[2].wire_bytes
    assert carried[0] is not None
    assert carried[1] is not None
    took = points[4].seconds - points[2].seconds
    assert wire["y"][1] == pytest.approx((carried[0] - carried[1]) / took / 1e6)
    assert len(guest["y"]) == 20
    assert left["y"][0] == 4.0


def test_rates_are_of_steps_that_mean_something() -> None:
    """The first answers of a QEMU are milliseconds apart; a step of 5 ms made a peak of 1 GB/s."""
    run = comparison().cases[0].runs[0]
    zero = replace(run.timeline[0], seconds=0.0, carried_bytes=0, wire_bytes=0)
    spots = ((0.005, 5), (0.2, 10), (0.45, 45), (0.6, 60), (0.9, 90), (1.0, 100))
    points = [replace(zero, seconds=at, carried_bytes=mega * 10**6) for at, mega in spots]
    guest, _, _ = timeline.one_run(replace(run, timeline=(zero, *points)), "@none")["data"]
    assert guest["x"] == [0.45, 1.0]
    assert guest["y"] == pytest.approx([100, 100])
    short = replace(run, timeline=(zero, points[1]))
    assert timeline.one_run(short, "@none")["data"][0]["y"] == pytest.approx([50])


def test_before_the_first_iteration_nothing_is_known_to_be_left() -> None:
    found = comparison()
    run = found.cases[0].runs[0]
    early = replace(run.timeline[0], dirty_sync_count=0, remaining_bytes=0, status="setup")
    run = replace(run, timeline=(early, *run.timeline))
    assert timeline.one_run(run, "@none")["data"][2]["y"][0] == 4.0
    case = replace(found.cases[0], runs=(run,))
    overview = timeline.left_over_time(replace(found, cases=(case,)))
    assert overview is not None
    assert overview["data"][0]["y"][0] == 4.0


def test_a_run_whose_bytes_nobody_counted_and_whose_clock_stood_still() -> None:
    run = comparison().cases[0].runs[0]
    points = tuple(replace(one, wire_bytes=None, seconds=0.0) for one in run.timeline)
    guest, wire, left = timeline.one_run(replace(run, timeline=points), "@none")["data"]
    assert (guest["y"], wire["y"], len(left["y"])) == ([], [], 41)


def test_the_median_run_has_a_timeline_and_did_not_fail() -> None:
    found = failed(comparison(), "oh")
    assert median_run(found.cases[-1]) == 0
    runs = found.cases[0].runs
    times = [run.result.total_time_ms for run in runs if run.result]
    assert median_run(found.cases[0]) == times.index(sorted(times)[1])


def test_headlines_say_what_proves_nothing() -> None:
    said = {what: f"{label}: {figure}" for what, label, figure in headlines(comparison())}
    assert said["Fastest"].startswith("qatzip 1 (native): 4.")
    assert "next is qatzip 1 (relay pair)" in said["Fastest"]
    assert said["Shortest downtime"].endswith("(not significant)")
    assert not headlines(_empty())


def test_text() -> None:
    drawn = text.draw(report([Named("r.json", failed(comparison(), "multifd 3 was reset"))]))
    assert "The benchmark was interrupted: runs are missing." in drawn
    row = next(line for line in drawn.splitlines() if line.startswith("  none (QEMU built-in) "))
    times = sorted(result.total_time_ms for result in comparison().cases[0].results)
    assert row.split()[3] == str(times[1])
    assert "multifd 3 was reset" in drawn
    assert "qatzip, documented" in drawn
    assert max(map(len, drawn.splitlines())) < 220


def test_what_was_not_run_is_told_everywhere() -> None:
    found = comparison()
    left_out = replace(found.cases[1], runs=(), skipped="nothing holds the link")
    found = replace(found, cases=(found.cases[0], left_out))
    drawn = text.draw(report([Named("r.json", found)]))
    assert "1 case was not run: listed below." in drawn
    assert "not run: nothing holds the link" in drawn
    rows = list(csv.DictReader(io.StringIO(spreadsheet.draw([Named("r.json", found)]))))
    assert (rows[-1]["run"], rows[-1]["error"]) == ("0", "not run: nothing holds the link")
    assert "not run: nothing holds the link" in markdown.draw(report([Named("r.json", found)]))


def test_who_holds_the_link_is_said_for_each_route() -> None:
    found = comparison()
    paced = replace(found, scenario=replace(found.scenario, link=Link(1e8, "relay pacing")))
    said = "by relay pacing (QEMU built-in and native: by the source's max-bandwidth, up to the"
    assert said in text.draw(report([Named("r.json", paced)]))
    assert "max-bandwidth" not in text.draw(report([Named("r.json", found)]))


def test_changes_between_two_files() -> None:
    faster = comparison(seed=5, slower=0.5)
    other = replace(faster, cases=faster.cases[:-1], machine={**faster.machine, "cores": 64})
    grid = differences(Named("a.json", comparison()), Named("b.json", other))
    assert [row[0].text for row in grid.rows] == [case.label for case in other.cases]
    first = grid.rows[0]
    assert -55 < float(first[1].text.removesuffix(" %")) < -45
    assert "→" in first[1].below
    assert (first[7].text, first[7].below) == ("+0.0 %", "not significant")
    assert "Only in a.json: qatzip 1 (native)." in grid.notes
    assert "Differs: cores: 2 → 64." in grid.notes


def test_csv_has_a_line_for_every_run() -> None:
    found = failed(comparison(), "=HYPERLINK(1)")
    rows = list(csv.DictReader(io.StringIO(spreadsheet.draw([Named("r.json", found)]))))
    assert len(rows) == 6 * 3 + 2
    first = found.cases[0].runs[0].result
    assert first is not None
    assert (rows[0]["total_time_ms"], rows[0]["wire_bytes"]) == (
        str(first.total_time_ms),
        str(first.wire_bytes),
    )
    assert (rows[-1]["total_time_ms"], rows[-1]["error"]) == ("", "'=HYPERLINK(1)")
    assert rows[-1]["run"] == "2"


def test_nothing_out_of_a_file_acts() -> None:
    measured = [Named("r.json", _evil())]
    for drawn in (text.draw(report(measured)), markdown.draw(report(measured))):
        assert "\x1b" not in drawn
    assert not re.search(r"(?<!\\)<img", markdown.draw(report(measured)))
    whole = page.draw(report(measured))
    assert "<img" not in whole.partition("<script")[0]
    data = re.search(r'<script type="application/json" id="figures">(.*?)</script>', whole, re.S)
    assert data
    assert "<" not in data[1]
    assert whole.count("</script>") == 3


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ('<a b="c">&\'', "&lt;a b=&#34;c&#34;&gt;&amp;&#39;"),
        ("a\nb\x1b\ud800\u202e", "a\ufffdb\ufffd\ufffd\ufffd"),
        ("<b>12345 1.123456\x1b", "&lt;b&gt;12\u202f345 1.123456\ufffd"),
    ],
)
def test_the_engine_escapes_whatever_it_is_given(given: str, shown: str) -> None:
    engine = page.environment()
    ways = ("{{ one }}", "{{ one|grouped }}", '{{ "" ~ one }}', "{% set two = one %}{{ two }}")
    drawn = [engine.from_string(way).render(one=given) for way in ways]
    plain = shown.replace("\u202f", "")
    assert drawn == [plain, shown, plain, plain]


def test_the_engine_refuses_a_name_that_it_was_not_given() -> None:
    with pytest.raises(UndefinedError, match="'nothing' is undefined"):
        page.environment().from_string("{{ nothing }}").render()


def test_the_page_loads_nothing() -> None:
    whole = page.draw(report([Named("r.json", comparison())]))
    assert "default-src 'none'" in whole
    assert not re.search(r"<(?:link|iframe|object|embed)\b|<script[^>]+src|@import", whole[:40_000])


@pytest.mark.parametrize(
    ("escape", "raw", "shown"),
    [
        (printable, "a\nb\x1b\ud800\u202e", "a\ufffdb\ufffd\ufffd\ufffd"),
        (in_plot, "<b>&amp;", "&lt;b&gt;&amp;amp;"),
        (in_markdown, "a|b*c_<d>`e`[f]\\", "a\\|b\\*c\\_\\<d\\>\\`e\\`\\[f\\]\\\\"),
        (in_markdown, "# head", "\\# head"),
        (in_markdown, "12. item", "12\\. item"),
        (in_markdown, "3.14 is a number", "3.14 is a number"),
        (in_csv, "@sum", "'@sum"),
        (in_csv, "sum", "sum"),
    ],
)
def test_escaping(escape: Any, raw: str, shown: str) -> None:
    assert escape(raw) == shown
