"""Reading a document of ramferry bench: each damage has its sentence, with file and field."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from comparisons import comparison, failed
from ramferry.errors import HostError
from ramferry.report.benchmark import decoding
from ramferry.report.benchmark.comparison import document, from_document, read
from ramferry.report.benchmark.decoding import Damaged
from ramferry.report.document import document as table_document


@pytest.fixture
def content() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document(comparison())))
    return found


def test_a_file_comes_back(tmp_path: Path) -> None:
    found = failed(comparison(), "the relay was killed by SIGKILL")
    (tmp_path / "r.json").write_text(json.dumps(document(found)))
    assert read(tmp_path / "r.json") == found


def test_the_document_has_the_names_of_every_other_one(content: dict[str, Any]) -> None:
    assert list(content)[:2] == ["format", "ramferry"]
    assert content["format"] == 1
    result = content["cases"][0]["runs"][0]["result"]
    assert result == table_document(comparison().cases[0].results[:1])["results"][0] | {
        "relays": []
    }


def test_a_document_from_before_there_were_forecasts(content: dict[str, Any]) -> None:
    for case in content["cases"]:
        del case["forecast"], case["skipped"]
    del content["forecast_notes"]
    found = from_document(content, "r.json")
    assert found == replace(
        comparison(), cases=tuple(replace(case, forecast=None) for case in comparison().cases)
    )


def test_wire_bytes_that_nobody_counted_are_null_in_the_file() -> None:
    found = comparison()
    case = found.cases[0]
    assert case.runs[0].result is not None
    uncounted = replace(case.runs[0].result, wire_bytes=0, mbps=0.0, ratio=0.0)
    runs = (replace(case.runs[0], result=uncounted),)
    found = replace(found, cases=(replace(case, runs=runs),))
    written = json.loads(json.dumps(document(found)))
    assert written["cases"][0]["runs"][0]["result"]["wire_bytes"] is None
    assert from_document(written, "r.json") == found


def test_fields_of_a_later_version_are_passed_over(content: dict[str, Any]) -> None:
    content["colour"] = "blue"
    content["scenario"]["moon"] = {"phase": 0.5}
    assert from_document(content, "r.json") == comparison()


def test_fields_with_a_default_may_be_absent(content: dict[str, Any]) -> None:
    del content["scenario"]["scaling"], content["cases"][0]["runs"][0]["timeline"]
    found = from_document(content, "r.json")
    assert (found.scenario.scaling, found.cases[0].runs[0].timeline) == ("", ())


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c.pop("format"), "is no document of ramferry: it has no format and ramferry"),
        (lambda c: c.update(format=2), "format is '2', and this ramferry "),
        (lambda c: c.update(format=True), "format is 'True', and this ramferry "),
        (lambda c: c.pop("cases"), "scenario and cases are missing: ramferry bench did not "),
        (lambda c: c.pop("machine"), "machine is missing"),
        (lambda c: c.update(cases={}), "cases is not a list"),
        (lambda c: c.update(cases=[7]), "cases[0] is not an object"),
        (lambda c: c.update(finished=1), "finished is not true or false"),
        (lambda c: c["scenario"].update(title=None), "scenario.title is not a text"),
        (lambda c: c["scenario"].update(memory_bytes=1.5), "memory_bytes is not a whole number"),
        (lambda c: c["scenario"].update(memory_bytes=True), "memory_bytes is not a whole number"),
        (lambda c: c["scenario"]["link"].update(rate="1G"), "scenario.link.rate is not a number"),
        (lambda c: c["scenario"]["link"].update(how="luck"), "link.how is none of tc, relay pac"),
        (lambda c: c["cases"][1].update(route="by air"), "cases[1].route is none of QEMU built"),
        (lambda c: c["cases"][1].update(label=c["cases"][0]["label"]), "cases[1].label is the "),
        (lambda c: c["cases"][2]["runs"][1].pop("result"), "cases[2].runs[1].result is missing"),
        (lambda c: c["cases"][2]["runs"][1].update(result=None), "runs[1] has neither a result"),
        (lambda c: c["cases"][2]["runs"][1].update(error="oh"), "runs[1] has both a result and"),
        (lambda c: c["cases"][3].update(forecast=1), "cases[3].forecast is not an object"),
        (lambda c: c["cases"][3]["forecast"].pop("wire_bytes"), "forecast.wire_bytes is missing"),
        (lambda c: c["cases"][3]["forecast"].update(expected_ms=0), "expected_ms is not more than"),
        (lambda c: c["cases"][3].update(skipped="oh"), "skipped is given, and there are runs"),
        (lambda c: c.update(forecast_notes=[1]), "forecast_notes[0] is not a text"),
        (lambda c: c["machine"].update(n=1e300), "machine.n is out of range"),
        (lambda c: c["machine"].update(n=[float("nan")]), "machine.n[0] is out of range"),
        (lambda c: c["machine"].update({"a\x1b\n": [1 << 70]}), r"machine.'a\x1b\n'[0] is out"),
    ],
)
def test_what_is_wrong_is_named(content: dict[str, Any], change: Change, sentence: str) -> None:
    change(content)
    with pytest.raises(Damaged) as caught:
        from_document(content, "r.json")
    assert str(caught.value).startswith("r.json: ")
    assert sentence in str(caught.value)


def test_facts_have_a_limited_depth(content: dict[str, Any]) -> None:
    deep: object = 1
    for _ in range(decoding.MOST_DEPTH + 1):
        deep = [deep]
    content["machine"]["deep"] = deep
    with pytest.raises(Damaged, match=r"machine\.deep\[0\].* is nested too deep"):
        from_document(content, "r.json")


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"", "is no JSON document, or a part of one at line 1"),
        (b'{"format": 1,\n "ramferry":', "is no JSON document, or a part of one at line 2"),
        (b"\xff\xfe\x00", "is no JSON document, or a part of one"),
        (b"[" * 100_000, "is no JSON document, or a part of one"),
        (b'{"n": ' + b"9" * 5000 + b"}", "is no JSON document, or a part of one"),
        (b"[1, 2]", "is no document of ramferry: it holds no JSON object"),
    ],
)
def test_a_file_that_is_no_document(tmp_path: Path, raw: bytes, sentence: str) -> None:
    (tmp_path / "r.json").write_bytes(raw)
    with pytest.raises(Damaged) as caught:
        read(tmp_path / "r.json")
    assert str(caught.value) == f"{tmp_path / 'r.json'}: {sentence}"


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MOST_BYTES", 1 << 20)
    with (tmp_path / "r.json").open("wb") as file:
        file.truncate((1 << 20) + 1)
    with pytest.raises(Damaged, match=r"r\.json: is larger than any result \(1 MiB\)"):
        read(tmp_path / "r.json")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"cannot read .*: Is a directory"):
        read(tmp_path)
