"""Options of ``ramferry demo`` and ``bench`` that are refused before a QEMU is started."""

import sys
from pathlib import Path

import pytest

from ramferry.cli import main


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("demo", "--memory", "1M"), "--memory must be 64M or more"),
        (("demo", "--json", "/nonexistent/r.json"), "No such file"),
        (("bench", "--json", "/nonexistent/r.json"), "No such file"),
        (("bench", "--memory", "63"), "--memory must be 64M or more"),
        (("bench", "nothing"), "there is no scenario 'nothing'"),
        (("bench", "seed", "thin-link", "--json", "x.json"), "must name a folder for 2 scenarios"),
        (("bench", "seed", "--resume", "/dev/null"), "is no JSON document"),
        (("bench", "codec", "--levels", "x"), "--levels takes numbers"),
        (
            ("bench", "codec", "--methods", "none,zstd", "--member-size", "packet"),
            "has no members, member size packet was asked for",
        ),
    ],
)
def test_refused_at_once(
    arguments: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    no_qemu = Path("/nonexistent/qemu")
    for module in ("cli.runs.demo", "bench.qemu"):
        monkeypatch.setattr(f"ramferry.{module}.find_qemus", lambda: [no_qemu])
    monkeypatch.setattr(sys, "argv", ["ramferry", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err
