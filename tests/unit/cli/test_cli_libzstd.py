"""On a host without libzstd: what still runs, and the sentence of what does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ramferry.errors import HostError

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
WITHOUT = """
import ctypes

class Lacking(ctypes.CDLL):
    def __init__(self, name, *arguments, **named):
        if name and "libzstd" in str(name):
            raise OSError("no such file")
        super().__init__(name, *arguments, **named)

ctypes.CDLL = Lacking
from ramferry.__main__ import main
main()
"""
SAID = "ramferry: cannot load libzstd.so.1: no such file; install the package libzstd1 or libzstd\n"


def without(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("relay", "--method", "zstd", "unix:/none/in", "unix:/none/out"),
        # nobody is asked for at the far end: the QEMU there would listen already
        ("restore", str(GOLDEN / "save-2.state"), "qmp:/none/a"),
    ],
    ids=lambda arguments: str(arguments[0]),
)
def test_what_needs_it_says_so_before_anything_else(arguments: tuple[str, ...]) -> None:
    ended = without(*arguments)
    assert (ended.returncode, ended.stdout, ended.stderr) == (HostError.exit_code, "", SAID)


def test_what_does_not_need_it_is_measured(tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    ended = without(
        *("bench", "codec", "--methods", "none", "--size", "1M", "--json", str(result)),
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(result.read_text())["machine"]["libraries"]["libzstd"] == "not here"
