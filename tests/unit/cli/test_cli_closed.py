"""Commands that are started without standard input or output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("command", "closed", "code", "sentence"),
    [
        ("compress", "<&-", 8, "cannot read standard input: Bad file descriptor"),
        (
            "relay unix:in unix:out --method none --events",
            ">&-",
            2,
            "--events writes to standard output, which is closed",
        ),
    ],
)
def test_a_closed_stream_has_its_sentence(
    tmp_path: Path, command: str, closed: str, code: int, sentence: str
) -> None:
    ended = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m ramferry {command} {closed}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (code, f"ramferry: {sentence}\n")
    assert not list(tmp_path.iterdir())
