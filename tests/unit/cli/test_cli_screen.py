"""Notes and progress: whoever does not read them, or went away, stops and ends nothing."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from test_cli_results import broken_pipe, full_disk

from fakes_qmp import FakeQemu
from ramferry.cli import screen as screen_module
from ramferry.cli.screen import screen


@pytest.mark.parametrize("deaf", [broken_pipe, full_disk])
def test_a_migration_goes_on_where_nobody_reads(
    tmp_path: Path, deaf: Callable[[], AbstractContextManager[int]]
) -> None:
    with (
        FakeQemu(tmp_path / "s") as source,
        FakeQemu(tmp_path / "d", run_state="inmigrate") as destination,
        deaf() as stderr,
    ):
        source.peer = destination
        line = [sys.executable, "-m", "ramferry", "migrate", source.uri, destination.uri]
        line += ["--method", "none"]
        ended = subprocess.run(
            line, stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=60, check=False
        )
        assert "migrate_cancel" not in source.commands()
    assert ended.returncode == 0
    assert ended.stdout.startswith("method ")


def test_a_migration_without_standard_streams_is_done(tmp_path: Path) -> None:
    with (
        FakeQemu(tmp_path / "s") as source,
        FakeQemu(tmp_path / "d", run_state="inmigrate") as destination,
    ):
        source.peer = destination
        command = f"migrate {source.uri} {destination.uri} --method none <&- >&- 2>&-"
        line = ["sh", "-c", f"exec {sys.executable} -m ramferry {command}"]
        assert subprocess.run(line, timeout=60, check=False).returncode == 0


def test_nobody_waits_for_a_terminal_that_was_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen_module, "_LAST_WORDS", 0.3)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(writer, "w") as stopped:
        monkeypatch.setattr(sys, "stderr", stopped)
        begun = time.monotonic()
        with screen() as console:
            for _ in range(100):
                console.print("progress " * 20)
        assert time.monotonic() - begun < 5
        os.close(reader)


def test_what_was_said_is_there_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(tmp_path / "log", "w") as log:
        monkeypatch.setattr(sys, "stderr", log)
        with screen() as console:
            console.print("one")
            console.print("two")
        assert (tmp_path / "log").read_text() == "one\ntwo\n"
