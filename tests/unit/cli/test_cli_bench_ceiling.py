"""``ramferry bench ceiling``: one quick table, its document, and what is refused at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ramferry.cli import main


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["ramferry", "bench", "ceiling", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code


def test_a_table_and_its_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ceiling.json"
    quick = ("--seconds", "0.05", "--repeat", "2", "--pin", "1", "--json", str(out))
    code = call(monkeypatch, "--channels", "1,2", "--methods", "none:qatzip", *quick)
    said = capsys.readouterr()
    assert code in (0, None), said.err
    assert "the relay on 1 of them" in said.out
    assert "free codecs; medians of 2 × 0.05 s" in said.out
    assert said.out.count("none → qatzip") == 2
    assert "run 2 of 2: none → qatzip, 2 channels" in said.err
    document = json.loads(out.read_text())
    assert document["format"] == "ceiling"
    assert {"version", "ramferry", "machine"} < set(document)
    assert document["how"] == {
        "codec_micros": 0.0,
        "seconds": 0.05,
        "runs": 2,
        "relay_cores": 1,
    }
    assert [row["channels"] for row in document["rows"]] == [1, 2]
    assert document["rows"][0]["figures"]["packets_per_second"]["count"] == 2


def test_with_tls_each_row_has_its_like_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ceiling.json"
    quick = ("--seconds", "0.05", "--repeat", "1", "--json", str(out))
    code = call(monkeypatch, "--tls", "--channels", "2", "--methods", "none:none", *quick)
    said = capsys.readouterr()
    assert code in (0, None), said.err
    rows = json.loads(out.read_text())["rows"]
    assert [row["link"] for row in rows] == ["tcp out", "tls out", "tcp in", "tls in"]
    assert "none by TLS → none " in said.out
    assert "none → none by TLS " in said.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--channels", "x"), "--channels takes numbers as 1,2,4, not 'x'"),
        (("--channels", "0"), "--channels takes numbers of 1 to 255, not 0"),
        (("--methods", "none"), "--methods takes IN:OUT, as none:qatzip, not 'none'"),
        (("--methods", "none:gzip"), "method 'gzip' is not one of"),
        (("--pin", "100000"), "--pin 100000: there are"),
        (("--own-codecs", "--codec-us", "5"), "not with --own-codecs"),
        (("--own-codecs", "--methods", "zlib:none"), "a packet of zlib goes on"),
    ],
)
def test_refused_at_once(
    arguments: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, *arguments) == 2
    assert sentence in capsys.readouterr().err
