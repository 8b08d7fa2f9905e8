"""--json FILE: what it holds stays until the new document is whole."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fakes_qmp import FakeQemu
from ramferry import __version__
from ramferry.cli import json_file, main
from ramferry.cli.json_file import JsonFile
from ramferry.errors import HostError, UsageError
from ramferry.report.document import VERSION

OLD = '{"old": true}\n'


def ramferry(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ramferry", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.json"
    path.write_text(OLD)
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ("migrate", "qmp:/nobody/a", "qmp:/nobody/b", "--level", "99"),
        ("migrate", "qmp:/nobody/a", "qmp:/nobody/b", "--no-such-option"),
        ("migrate", "qmp:/nobody/a", "qmp:/nobody/b", "--method", "none"),
        ("save", "qmp:/nobody/a", "-"),
        ("restore", "/nobody/state", "qmp:/nobody/a"),
        ("plan", "time", "qmp:/nobody/a", "--link", "1Gbit"),
        ("bench", "codec", "/nobody/file"),
        ("demo", "--memory", "1M"),
        ("demo", "--methods", "none,no-such-method"),
    ],
    ids=lambda arguments: " ".join(arguments[:1] + arguments[-1:]).replace("/", "."),
)
def test_a_command_that_does_not_come_to_a_result_leaves_the_old_file(
    old: Path, arguments: tuple[str, ...]
) -> None:
    ended = ramferry(*arguments, "--json", old)
    assert ended.returncode != 0
    assert old.read_text() == OLD
    assert [path.name for path in old.parent.iterdir()] == ["old.json"]


def test_a_migration_that_completes_replaces_it(old: Path, tmp_path: Path) -> None:
    old.chmod(0o640)
    with (
        FakeQemu(tmp_path / "s") as source,
        FakeQemu(tmp_path / "d", run_state="inmigrate") as destination,
    ):
        source.peer = destination
        ended = ramferry("migrate", source.uri, destination.uri, "--method", "none", "--json", old)
    assert ended.returncode == 0
    assert json.loads(old.read_text())["results"][0]["method"] == "none"
    assert stat.S_IMODE(old.stat().st_mode) == 0o640


def test_a_disk_that_is_full_keeps_the_old_one(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = JsonFile(str(old))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(json_file.os, "write", full)
        said = f"cannot write {old}: No space left on device; it holds what it held before"
        with pytest.raises(HostError, match=said):
            target.write({"new": True})
    assert old.read_text() == OLD
    target.write({"new": True})
    assert json.loads(old.read_text()) == {"new": True}


def test_a_new_file_is_as_readable_as_any(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        JsonFile(str(tmp_path / "new.json")).write({})
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new.json").stat().st_mode) == 0o640


def test_a_link_goes_on_pointing_where_it_did(old: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(old)
    JsonFile(str(link)).write({"new": True})
    assert link.is_symlink()
    assert json.loads(old.read_text()) == {"new": True}


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    JsonFile(str(fifo)).write({"new": True})
    reader.join(5)
    assert json.loads(read[0]) == {"new": True}
    assert fifo.is_fifo()


def test_standard_output_by_its_other_name_is_not_replaced(tmp_path: Path) -> None:
    script = "from ramferry.cli.json_file import JsonFile; JsonFile('/dev/stdout').write({'a': 1})"
    with open(tmp_path / "out", "w") as out:
        subprocess.run([sys.executable, "-c", script], stdout=out, check=True)
        assert os.path.samestat(os.fstat(out.fileno()), (tmp_path / "out").stat())
    assert json.loads((tmp_path / "out").read_text()) == {"a": 1}


@pytest.mark.parametrize("asked", ["/nonexistent/r.json", "/"])
def test_what_cannot_be_written_is_refused_beforehand(asked: str) -> None:
    with pytest.raises(UsageError, match="cannot write /"):
        JsonFile(asked)


COMMANDS = (
    ("inspect", "/dev/null"),
    ("doctor",),
    ("plan", "memory"),
    ("plan", "method"),
    ("plan", "time", "/dev/null", "--link", "1"),
    ("migrate", "qmp:/nobody/a", "qmp:/nobody/b"),
    ("save", "qmp:/nobody/a", "/nobody/state"),
    ("restore", "/dev/null", "qmp:/nobody/a"),
    ("relay", "unix:/nobody/a", "unix:/nobody/b", "--method", "none"),
    ("demo",),
    ("bench",),
    ("bench", "codec"),
)


def name(command: tuple[str, ...]) -> str:
    return " ".join(word for word in command[:2] if word.isalpha())


@pytest.mark.parametrize("command", COMMANDS, ids=name)
def test_every_command_wants_a_file_behind_it(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["ramferry", *command, "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = "Invalid value for '--json': names no FILE: write --json FILE, or --json - for standard"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS[1:4], ids=name)
def test_every_document_begins_alike(
    tmp_path: Path,
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["ramferry", *command, "--json", str(tmp_path / "r.json")])
    with pytest.raises(SystemExit):
        main()
    found = json.loads((tmp_path / "r.json").read_text())
    assert list(found)[:3] == ["format", "version", "ramferry"]
    assert (found["version"], found["ramferry"]) == (VERSION, __version__)
    assert capsys.readouterr().out  # and what is for people is where it always was
