"""Links of several rates: the document, ``auto`` over the others, and what it chose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from comparisons import AUTO_TIMES, comparison, failed, series
from ramferry.report.benchmark import comparison as comparisons
from ramferry.report.benchmark.chapters import rates_of, report
from ramferry.report.benchmark.reading import Damaged
from ramferry.report.benchmark.series import document_of, is_fixed, read
from ramferry.report.benchmark.series_chapter import NamedSeries, series_chapter
from ramferry.report.benchmark.series_grids import best, chosen, over_others


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "links.json"


def test_a_file_comes_back(file: Path) -> None:
    for found in (series(), comparison()):
        file.write_text(json.dumps(document_of(found)))
        assert read(file) == found


def test_it_is_no_result_of_bench_run(file: Path) -> None:
    file.write_text(json.dumps(document_of(series())))
    with pytest.raises(Damaged, match="is no result of ramferry bench: 'links' is its format"):
        comparisons.read(file)


def test_a_field_that_is_not_known_has_its_path(file: Path) -> None:
    content: dict[str, Any] = json.loads(json.dumps(document_of(series())))
    content["comparisons"][1]["scenario"]["colour"] = 1
    file.write_text(json.dumps(content))
    with pytest.raises(Damaged, match=r"\$\.comparisons\[1\]\.scenario\.colour"):
        read(file)
    content["format"] = ["links"]
    file.write_text(json.dumps(content))
    with pytest.raises(Damaged, match="is its format"):
        read(file)


def test_auto_over_the_best_of_the_others() -> None:
    found = series()
    table = over_others(found)
    assert [row[0].text for row in table.rows] == ["250 Mbit/s", "1 Gbit/s", "10 Gbit/s"]
    for row, over in zip(table.rows, AUTO_TIMES, strict=True):
        assert row[3].below == "qatzip 1 (relay pair)"
        assert float(row[4].text) == pytest.approx(over, abs=0.006)
        assert row[5].below == "zstd 1 (QEMU built-in)"
        assert float(row[6].text) == pytest.approx(over * 5.2 / 6.1, rel=0.06)
        assert row[7].below == "none (relay pair)"
        assert float(row[8].text) == pytest.approx(over * 5.2 / 13.9, rel=0.06)
    assert table.rows[1][4].below == "not significant"


def test_what_did_not_come_through_is_not_the_best() -> None:
    first = series().comparisons[0]
    cases = tuple(
        replace(case, runs=(replace(case.runs[0], result=None, error="lost"),))
        if case.label == "qatzip 1 (relay pair)"
        else case
        for case in first.cases
    )
    found = best(replace(first, cases=cases), is_fixed)
    assert found is not None
    assert found.label == "zstd 1 (relay pair)"
    assert best(replace(first, cases=()), is_fixed) is None
    table = over_others(replace(series(), comparisons=(replace(first, cases=()),)))
    assert [cell.text for cell in table.rows[0][2:]] == ["n/a"] * 7


def test_what_auto_chose() -> None:
    table = chosen(series())
    assert table is not None
    assert len(table.rows) == 3 * 2
    before, after = table.rows[:2]
    assert (before[1].text, before[2].text) == ("0.1", "none")
    assert (after[1].text, after[2].text) == ("0.5", "zstd 3; incompressible: none")
    assert (after[3].text, after[4].text) == ("310 MB/s", "link")
    assert after[5].text == "zstd 1; incompressible: none"
    assert (before[7].text, after[7].text) == ("≥ 117 MB/s", "117 MB/s")
    assert "250 Mbit/s: zstd 3 90%, none 10% of the bytes of pages; 1 change, " in table.notes[1]
    assert table.notes[1].endswith("% of both sides' CPU.")


def test_nothing_is_told_of_choices_that_nobody_wrote_down() -> None:
    found = series()
    without = tuple(
        replace(one, cases=tuple(case for case in one.cases if case.method != "auto"))
        for one in found.comparisons
    )
    assert chosen(replace(found, comparisons=without)) is None


def test_a_long_list_of_choices_keeps_its_begin_and_end() -> None:
    found = series(repeats=1)
    one = found.comparisons[0]
    (case,) = (case for case in one.cases if case.method == "auto")
    result = case.runs[0].result
    assert result is not None
    told = result.relays[0].choosing
    assert told is not None
    many = tuple(replace(told.timeline[1], seconds=float(at)) for at in range(40))
    relay = replace(result.relays[0], choosing=replace(told, timeline=many))
    runs = (replace(case.runs[0], result=replace(result, relays=(relay,))),)
    table = chosen(replace(found, comparisons=(replace(one, cases=(replace(case, runs=runs),)),)))
    assert table is not None
    assert [row[1].text for row in table.rows] == [*(f"{at}.0" for at in range(11)), "39.0"]


def test_an_interruption_and_failures_are_told_first() -> None:
    found = series()
    *others, last = found.comparisons
    cut = replace(found, comparisons=(*others, failed(last, "lost")), finished=False)
    said = series_chapter(NamedSeries("l.json", cut)).warnings
    assert said[0] == "The benchmark was interrupted: rates or runs are missing."
    assert "10 Gbit/s: 1 run failed: listed below." in said
    nothing = series_chapter(NamedSeries("l.json", replace(cut, comparisons=())))
    assert nothing.tables == ()


def test_each_rate_has_a_chapter_and_none_is_a_change_of_another() -> None:
    named = NamedSeries("l.json", series())
    whole = report([], [named])
    assert [one.measured.name for one in whole.chapters] == [
        "l.json: 250 Mbit/s", "l.json: 1 Gbit/s", "l.json: 10 Gbit/s",
    ]  # fmt: skip
    assert whole.differences == ()
    assert len(rates_of(named)) == len(whole.series[0].measured.series.comparisons)
