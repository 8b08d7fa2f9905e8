"""Standard streams that are closed, or with nobody behind them, decide nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import syslog
from pathlib import Path

import pytest

from ramferry import standard
from ramferry.cli.line_writer import LineWriter
from ramferry.flows.peer import heir
from ramferry.patience import Patience

NEXT = "import os, ramferry.standard as s; s.occupy(); os._exit(os.open('/', os.O_RDONLY))"


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- >&- 2>&-"])
def test_what_is_opened_next_is_no_standard_stream(closed: str) -> None:
    line = ["sh", "-c", f'exec {sys.executable} -c "{NEXT}" {closed}']
    assert subprocess.run(line, timeout=60, check=False).returncode > 2


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ("decompress nothing.gz", 2),
        ("compress --no-such-option", 2),
        ("relay tcp:nowhere unix:out --method none", 2),
    ],
)
@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-"])
def test_an_exit_code_does_not_depend_on_who_reads(
    tmp_path: Path, arguments: str, code: int, stderr: str
) -> None:
    line = ["sh", "-c", f"exec {sys.executable} -m ramferry {arguments} {stderr}"]
    ended = subprocess.run(
        line, cwd=tmp_path, stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (code, "")


HOSTILE = "QEMU: \x1b[2J\rno\nramferry: the guest runs at the destination \u202e\udcff é"
HARMLESS = r"QEMU: \x1b[2J\rno\nramferry: the guest runs at the destination \u202e\udcff é" + "\n"


def test_a_peers_words_command_no_terminal_and_forge_no_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    standard.say(HOSTILE)
    assert capsys.readouterr().err == HARMLESS


def test_what_nobody_reads_and_has_to_be_known_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[tuple[int, str]] = []
    monkeypatch.setattr(syslog, "syslog", lambda *words: logged.append(words))
    standard.log("the guest stands still\n")
    heir.tell("the source was told")  # somebody reads that
    monkeypatch.setattr(sys, "stderr", None)
    heir.tell("it stands still\x1b[2J")
    assert logged == [
        (syslog.LOG_ERR, "the guest stands still"),
        (syslog.LOG_ERR, r"it stands still\x1b[2J"),
    ]


def test_nor_do_they_in_notes() -> None:
    reading, writing = os.pipe()
    try:
        writer = LineWriter(writing)
        writer.say(HOSTILE)
        writer.close(Patience(10))
        assert os.read(reading, 1000).decode() == HARMLESS
    finally:
        os.close(reading)
        os.close(writing)
