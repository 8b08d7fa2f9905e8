"""``ramferry plan time`` as a user calls it, without a QEMU."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from ramferry import allowance
from ramferry.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[object, str, str]:
    """Exit code and what was said, of the command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ramferry", "plan", "time", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_a_ram_file_is_forecast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "ram").write_bytes(b"".join(b"%07d " % number for number in range(1 << 18)))
    arguments = (tmp_path / "ram", "--link", "10M", "--methods", "zstd", "--cores", 2)
    code, table, err = run(capsys, *arguments, "--json", tmp_path / "plan.json")
    assert code == 0, err
    document = json.loads((tmp_path / "plan.json").read_text())
    assert document["sample"]["total_bytes"] == 1 << 21
    assert [one["method"] for one in document["methods"]] == ["none", "zstd"]
    assert document["choice"] == "zstd"
    assert "zstd is fastest" in table
    assert "limited by" in table
    assert table.splitlines()[-1].startswith("$ ramferry migrate SOURCE DESTINATION --method zstd")


@pytest.mark.parametrize(
    ("quota", "given", "cores"), [(0.0, (), 3), (1.5, (), 1.5), (1.5, ("--cores", 64), 64)]
)
def test_cores_are_those_that_this_command_may_use_or_as_given(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    quota: float,
    given: tuple[object, ...],
    cores: float,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setattr(allowance, "quota", lambda _: quota)
    (tmp_path / "ram").write_bytes(bytes(1 << 20))
    arguments = (tmp_path / "ram", "--link", "10M", *given)
    code, table, err = run(capsys, *arguments, "--json", tmp_path / "plan.json")
    assert code == 0, err
    assert json.loads((tmp_path / "plan.json").read_text())["cores"] == cores
    assert f" {cores} cores at each side" in " ".join(table.split())


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["qmp:/nobody/here", "--link", "1Gbit"], 3, "no QEMU answers at qmp:/nobody/here"),
        (["odd", "--link", "1Gbit"], 2, "odd holds 5000 bytes, which are not whole pages of 4096"),
        (["none", "--link", "1Gbit"], 2, "cannot read none: No such file or directory"),
        (["odd"], 2, "Missing option '--link'"),
        (["odd", "--link", "probe:beta"], 2, "'probe:beta' names no host and port: write probe:HO"),
        (["odd", "--link", "probe:0.0.0.0:44"], 2, "names no host and port: write probe:HOST:PORT"),
        (["odd", "--link", "probe:beta:0"], 2, "names no host and port: write probe:HOST:PORT"),
        (["odd", "--link", "1", "--methods", "gzip"], 2, "method 'gzip' is not one of none,"),
        (
            ["odd", "--link", "1", "--dirty-rate", "1M", "--measure-dirty", "1"],
            2,
            "take one of them",
        ),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd").write_bytes(bytes(5000))
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (code, "")
    assert sentence in err
