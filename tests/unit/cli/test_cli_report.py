"""``ramferry report`` as a program: formats, files, refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from comparisons import comparison
from ramferry.report.benchmark.comparison import document


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ramferry", "report", *arguments]
    return subprocess.run(
        line, cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "HOME": ""},
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.json").write_text(json.dumps(document(comparison())))
    (tmp_path / "b.json").write_text(json.dumps(document(comparison(seed=2))))
    return tmp_path


def test_text_goes_to_standard_output(folder: Path) -> None:
    done = run(folder, "a.json", "b.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("QEMU's QATzip documentation, scaled (a.json)\n====")
    assert "Changes: a.json → b.json" in done.stdout


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("r.html", "<!doctype html>"),
        ("r.md", "# QEMU's QATzip"),
        ("r.csv", "file,scenario,label"),
        ("r.txt", "QEMU's QATzip"),
    ],
)
def test_the_ending_says_the_format(folder: Path, name: str, begin: str) -> None:
    os.utime(folder / "a.json", (1, 1))
    done = run(folder, "a.json", "-o", name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (folder / name).read_text(encoding="utf-8").startswith(begin)
    assert (folder / name).stat().st_mtime > 1000
    assert (folder / name).stat().st_mode == (folder / "a.json").stat().st_mode


def test_a_file_is_replaced_only_on_request(folder: Path) -> None:
    (folder / "r.md").write_text("mine")
    done = run(folder, "a.json", "-o", "r.md")
    assert (done.returncode, done.stderr) == (2, "ramferry: r.md exists: --force replaces it\n")
    assert (folder / "r.md").read_text() == "mine"
    assert run(folder, "a.json", "-o", "r.md", "--force").returncode == 0
    assert (folder / "r.md").read_text().startswith("# QEMU")


def test_a_result_is_never_replaced(folder: Path) -> None:
    for name in ("a.json", "b.json"):
        before = (folder / name).read_text()
        done = run(folder, "a.json", "b.json", "-o", name, "--force")
        assert (done.returncode, done.stderr) == (2, f"ramferry: {name} is the input itself\n")
        assert (folder / name).read_text() == before


def test_a_damaged_result_leaves_no_report(folder: Path) -> None:
    (folder / "cut.json").write_text((folder / "a.json").read_text()[:9000])
    done = run(folder, "a.json", "cut.json", "-o", "r.html")
    assert done.returncode == 2
    said = "cut.json: is no JSON document, or a part of one (Input data was truncated)"
    assert done.stderr == f"ramferry: {said}\n"
    assert not (folder / "r.html").exists()


def test_what_is_not_there(folder: Path) -> None:
    done = run(folder, "missing.json")
    assert done.returncode == 2
    assert done.stderr == "ramferry: cannot read missing.json: No such file or directory\n"
    done = run(folder, "a.json", "-o", "nowhere/r.html")
    assert done.returncode == 8
    assert done.stderr == "ramferry: cannot write nowhere/r.html: No such file or directory\n"


def test_a_device_is_no_place_for_a_report(folder: Path) -> None:
    done = run(folder, "a.json", "-o", "/dev/null", "--force")
    assert done.returncode == 2
    assert done.stderr == (
        "ramferry: /dev/null exists and is not a regular file: - is standard output\n"
    )


def test_a_closed_standard_output_is_told(folder: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m ramferry report a.json >&-"],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = "ramferry: cannot write the report: standard output is closed\n"
    assert (done.returncode, done.stderr) == (8, said)


def test_two_results_of_one_name_go_by_their_paths(folder: Path) -> None:
    (folder / "old").mkdir()
    (folder / "old/a.json").write_text((folder / "b.json").read_text())
    assert "Changes: old/a.json → a.json" in run(folder, "old/a.json", "a.json").stdout
