"""Reading a document of ramferry bench: each damage has its sentence, with file and field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from comparisons import comparison, failed
from ramferry.errors import HostError
from ramferry.report.benchmark import reading
from ramferry.report.benchmark.comparison import Comparison, Damaged, decode, document, read
from ramferry.report.document import migrations

GOLDEN = Path(__file__).resolve().parents[3] / "golden"


@pytest.fixture
def content() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document(comparison())))
    return found


def from_document(content: dict[str, Any]) -> Comparison:
    return decode(json.dumps(content).encode(), "r.json")


def test_a_file_comes_back(tmp_path: Path) -> None:
    found = failed(comparison(), "the relay was killed by SIGKILL")
    (tmp_path / "r.json").write_text(json.dumps(document(found)))
    assert read(tmp_path / "r.json") == found


def test_the_document_has_the_names_of_every_other_one(content: dict[str, Any]) -> None:
    assert list(content)[:3] == ["format", "version", "ramferry"]
    assert (content["format"], content["version"]) == ("benchmark", 5)
    (row,) = migrations(comparison().cases[0].results[:1])["results"]
    assert content["cases"][0]["runs"][0]["result"] == json.loads(json.dumps(row))


def test_a_document_from_before_there_were_forecasts(content: dict[str, Any]) -> None:
    for case in content["cases"]:
        del case["forecast"], case["skipped"]
    del content["forecast_notes"]
    found = from_document(content)
    assert found == replace(
        comparison(), cases=tuple(replace(case, forecast=None) for case in comparison().cases)
    )


def test_wire_bytes_that_nobody_counted_are_null_in_the_file() -> None:
    found = comparison()
    case = found.cases[0]
    assert case.runs[0].result is not None
    uncounted = replace(case.runs[0].result, wire_bytes=None, mbps=None, ratio=None)
    runs = (replace(case.runs[0], result=uncounted),)
    found = replace(found, cases=(replace(case, runs=runs),))
    written = json.loads(json.dumps(document(found)))
    assert written["cases"][0]["runs"][0]["result"]["wire_bytes"] is None
    assert from_document(written) == found


def test_a_result_of_version_1_is_read_by_todays_names() -> None:
    raw = json.loads((GOLDEN / "bench-1.json").read_bytes())
    assert raw["format"] == 1
    assert "version" not in raw
    found = read(GOLDEN / "bench-1.json")
    for case, before in zip(found.cases, raw["cases"], strict=True):
        (run,), (told,) = case.runs, before["runs"]
        assert run.result is not None
        old = told["result"]
        assert (run.result.total_time_ms, run.result.setup_time_ms) == (old["total_ms"], 3)
        assert (run.result.normal_bytes, run.result.dirty_sync_count) == (old["guest_bytes"], 4)
        assert run.result.wire_bytes == old["wire_bytes"]
        counters = run.result.relays[0].counters
        assert (counters.normal_pages, counters.normal_bytes) == (7, 28672)
        assert counters.channels[0].normal_pages == 7
        assert [one.carried_bytes for one in run.timeline] == [
            point["guest_bytes"] for point in told["timeline"]
        ]
        assert [one.dirty_sync_count for one in run.timeline] == [1, 1, 4]
    assert [case.results[0].wire_bytes is None for case in found.cases] == [False, True, False]


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_result_of_an_earlier_version_is_read(content: dict[str, Any], version: int) -> None:
    content["version"] = version
    for case in content["cases"]:
        for run in case["runs"]:
            del run["result"]["member_size"]
    assert from_document(content) == comparison()


@pytest.mark.parametrize("size", [65536, 524288])
def test_the_member_size_comes_back(content: dict[str, Any], size: int) -> None:
    content["cases"][5]["runs"][0]["result"]["member_size"] = size
    result = from_document(content).cases[5].runs[0].result
    assert result is not None
    assert result.member_size == size


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ((), "$.colour"),
        (("scenario",), "$.scenario.colour"),
        (("cases", 0), "$.cases[0].colour"),
        (("cases", 1, "runs", 0, "result"), "$.cases[1].runs[0].result.colour"),
    ],
)
def test_a_field_that_a_record_does_not_have_is_refused_with_its_path(
    content: dict[str, Any], place: tuple[str | int, ...], path: str
) -> None:
    record: Any = content
    for step in place:
        record = record[step]
    record["colour"] = "blue"
    with pytest.raises(Damaged, match=re.escape(f"that results do not have - at `{path}`")):
        from_document(content)


def test_facts_of_the_machine_are_free(content: dict[str, Any]) -> None:
    content["machine"]["moon"] = {"phase": 0.5}
    assert from_document(content).machine["moon"] == {"phase": 0.5}


def test_fields_with_a_default_may_be_absent(content: dict[str, Any]) -> None:
    del content["scenario"]["scaling"], content["cases"][0]["runs"][0]["timeline"]
    found = from_document(content)
    assert (found.scenario.scaling, found.cases[0].runs[0].timeline) == ("", ())


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c.pop("format"), "is no document of ramferry: it has no format and ramferry"),
        (lambda c: c.update(format=2), "is no result of ramferry bench: 2 is its format"),
        (lambda c: c.update(format="doctor"), "no result of ramferry bench: 'doctor' is its form"),
        (lambda c: c.update(version=6), "its version is 6, and this ramferry "),
        (lambda c: c.update(version=True), "its version is True, and this ramferry "),
        (lambda c: c.pop("version"), "its version is None, and this ramferry "),
        (lambda c: c.pop("cases"), "is no result of ramferry bench: 'benchmark' is its format"),
        (lambda c: c.pop("machine"), "Object missing required field `machine`"),
        (lambda c: c.update(cases={}), "Expected `array`, got `object` - at `$.cases`"),
        (lambda c: c.update(cases=[7]), "Expected `object`, got `int` - at `$.cases[0]`"),
        (lambda c: c.update(finished=1), "Expected `bool`, got `int` - at `$.finished`"),
        (lambda c: c["scenario"].update(title=None), "`str`, got `null` - at `$.scenario.title`"),
        (lambda c: c["scenario"].update(memory_bytes=1.5), "`$.scenario.memory_bytes`"),
        (lambda c: c["scenario"].update(memory_bytes=True), "`$.scenario.memory_bytes`"),
        (
            lambda c: c["scenario"]["link"].update(rate="1G"),
            "`str` - at `$.scenario.link.rate`",
        ),
        (lambda c: c["scenario"]["link"].update(how="luck"), "'^(tc|relay pacing|none)$' - at "),
        (lambda c: c["cases"][1].update(route="by air"), "native)$' - at `$.cases[1].route`"),
        (lambda c: c["cases"][1].update(label=c["cases"][0]["label"]), "have the same label"),
        (lambda c: c["cases"][2]["runs"][1].pop("result"), "`result` - at `$.cases[2].runs[1]`"),
        (lambda c: c["cases"][2]["runs"][1].update(result=None), "has neither a result nor an err"),
        (lambda c: c["cases"][2]["runs"][1].update(error="oh"), "error - at `$.cases[2].runs[1]`"),
        (lambda c: c["cases"][3].update(forecast=1), "got `int` - at `$.cases[3].forecast`"),
        (lambda c: c["cases"][3]["forecast"].pop("wire_bytes"), "missing required field `wire_byt"),
        (lambda c: c["cases"][3]["forecast"].update(expected_ms=0), "Expected `float` > 0.0 - at "),
        (
            lambda c: c["cases"][3].update(skipped="oh"),
            "was skipped has runs - at `$.cases[3]`",
        ),
        (lambda c: c.update(forecast_notes=[1]), "got `int` - at `$.forecast_notes[0]`"),
        (lambda c: c["machine"].update(n=1e300), "is too large, or the nesting too deep - at `$['"),
        (lambda c: c["machine"].update(n=-(1 << 63)), "`$['machine']['n']`"),
        (lambda c: c["machine"].update(n=[float("nan")]), "is no JSON document, or a part of one"),
        (lambda c: c["machine"].update({"a\x1b\n": [1 << 70]}), r"`$['machine']['a\x1b\n'][0]`"),
    ],
)
def test_what_is_wrong_is_named(content: dict[str, Any], change: Change, sentence: str) -> None:
    change(content)
    with pytest.raises(Damaged) as caught:
        from_document(content)
    assert str(caught.value).startswith("r.json: ")
    assert sentence in str(caught.value)


def test_facts_have_a_limited_depth(content: dict[str, Any]) -> None:
    deep: object = 1
    for _ in range(reading.MOST_DEPTH + 1):
        deep = [deep]
    content["machine"]["deep"] = deep
    with pytest.raises(Damaged, match=r"nesting too deep - at `\$\['machine'\]\['deep'\]\[0\]"):
        from_document(content)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "is no JSON document, or a part of one (Input data was truncated)"),
        (b'{"format": 1,\n "ramferry":', "is no JSON document, or a part of one (Input data was "),
        (b"\xff\xfe\x00", "is no JSON document, or a part of one (JSON is malformed: invalid"),
        (b'{"a": "\xff"}', "is no JSON document, or a part of one ('utf-8' codec can't decode"),
        (b"[" * 100_000, "is no JSON document, or a part of one (maximum recursion depth"),
        (b'{"n": ' + b"9" * 5000 + b"}", "is no JSON document, or a part of one (Integer value"),
        (b"[1, 2]", "is no document of ramferry: it has no format and ramferry"),
    ],
)
def test_a_file_that_is_no_document(tmp_path: Path, raw: bytes, sentence: str) -> None:
    (tmp_path / "r.json").write_bytes(raw)
    with pytest.raises(Damaged) as caught:
        read(tmp_path / "r.json")
    assert str(caught.value).startswith(f"{tmp_path / 'r.json'}: {sentence}")


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 1 << 20)
    with (tmp_path / "r.json").open("wb") as file:
        file.truncate((1 << 20) + 1)
    with pytest.raises(Damaged, match=r"r\.json: is larger than any result \(1 MiB\)"):
        read(tmp_path / "r.json")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"cannot read .*: Is a directory"):
        read(tmp_path)
