"""``ramferry inspect`` as a program: tables, JSON, pipes, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


def run(*arguments: object, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "ramferry", "inspect", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, input=data, timeout=60, check=False)


def test_a_stream_is_shown() -> None:
    done = run(GOLDEN / "7.2-microvm.main")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "main stream, microvm, pages of 4096 bytes, 3 sync marks"
    row = next(line.split() for line in lines if line.startswith("microvm.ram"))
    assert row == ["microvm.ram", "4", "MiB", "0", "1014", "0", "0", "KiB", "-"]
    assert any(line.split() == ["globalstate", "0", "1", "104"] for line in lines)


def test_a_pipe_and_json() -> None:
    done = run("-", "--json", "-", data=(GOLDEN / "7.2-microvm.main").read_bytes())
    found = json.loads(done.stdout)
    assert (found["format"], found["version"]) == ("inspection", 5)
    assert (found["machine"], found["rounds"], found["fault"]) == ("microvm", 3, "")
    assert done.stderr.startswith(b"main stream, microvm, ")


def test_json_of_what_is_damaged_goes_into_its_file(tmp_path: Path) -> None:
    raw = (GOLDEN / "7.2-microvm.main").read_bytes()
    (tmp_path / "cut").write_bytes(raw[:20000])
    done = run(tmp_path / "cut", "--json", tmp_path / "found.json")
    assert done.returncode == 7
    assert b"microvm.ram" in done.stdout
    assert "no end of stream" in json.loads((tmp_path / "found.json").read_text())["fault"]


def test_json_as_a_flag_is_refused_and_takes_no_file(tmp_path: Path) -> None:
    (tmp_path / "stream").write_bytes(b"as it is")
    done = run("--json", tmp_path / "stream")
    assert done.returncode == 2
    assert b"Missing argument 'WHAT' (--json took what follows it as its FILE)." in done.stderr
    assert (tmp_path / "stream").read_bytes() == b"as it is"
    for line in ((tmp_path / "stream", "--json"), ("--json", "--page-size", "4096", "x")):
        done = run(*line)
        assert done.returncode == 2
        assert b"'--json': names no FILE: write --json FILE, or --json - for stand" in done.stderr


def test_a_pipe_with_a_name() -> None:
    done = run("/dev/stdin", data=(GOLDEN / "7.2-microvm.main").read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")


def test_damage_is_told_after_what_was_readable(tmp_path: Path) -> None:
    raw = (GOLDEN / "7.2-microvm.main").read_bytes()
    (tmp_path / "cut").write_bytes(raw[:20000])
    done = run(tmp_path / "cut")
    assert done.returncode == 7
    assert b"microvm.ram" in done.stdout
    assert done.stderr.startswith(b"ramferry: damaged: main: ")


def test_what_is_nothing_of_a_migration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    for what in (tmp_path, tmp_path / "text", tmp_path / "missing"):
        assert run(what).returncode == 2
