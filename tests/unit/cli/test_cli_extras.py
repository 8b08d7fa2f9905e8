"""Without an extra's libraries: what still runs, and the sentence of what does not."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from comparisons import comparison
from ramferry.cli.extras import EXTRAS
from ramferry.errors import HostError
from ramferry.report.benchmark.comparison import document

CHECKOUT = Path(__file__).resolve().parents[3]
WITHOUT = """
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
{then}
"""
RUN = "from ramferry.__main__ import main\nmain()"
PLAIN = (
    *("relay", "migrate", "save", "restore", "inspect", "compress", "decompress"),
    *("doctor", "plan_memory", "plan_method", "plan_link", "report"),
)


def without(libraries: str, *arguments: str, then: str = RUN) -> tuple[int, str, str]:
    command = [sys.executable, "-c", WITHOUT.format(then=then), libraries, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", PLAIN)
def test_what_needs_no_extra_loads_without_them(command: str) -> None:
    ended = without(",".join(EXTRAS), then=f"import ramferry.cli.runs.{command}")
    assert ended == (0, "", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("guest", "--qmp", "qmp:/none/a"),
        ("demo",),
        ("bench",),
        ("bench", "codec"),
        ("bench", "archives"),
        ("plan", "time", "qmp:/none/a", "--link", "1Gbit"),
        ("migrate", "qmp:/a", "qmp:/b", "--method", "auto", "--relay", "none", "--link", "1Gbit"),
    ],
    ids=" ".join,
)
def test_a_command_without_its_extra_says_which(arguments: tuple[str, ...]) -> None:
    said = "ramferry: this needs psutil, which is not installed: pip install 'ramferry[bench]'\n"
    assert without("psutil", *arguments) == (HostError.exit_code, "", said)


def test_only_a_page_needs_the_reports_extra(tmp_path: Path) -> None:
    libraries = [name for name, extra in EXTRAS.items() if extra == "report"]
    lacking = ",".join(libraries)
    measured, page = tmp_path / "result.json", tmp_path / "page.html"
    measured.write_text(json.dumps(document(comparison())))
    code, text, said = without(lacking, "report", str(measured))
    assert (code, said) == (0, "")
    assert "qatzip" in text
    code, text, said = without(lacking, "report", str(measured), "-o", str(page))
    assert (code, text) == (HostError.exit_code, "")
    which = "which is not installed: pip install 'ramferry[report]'"
    assert said in [f"ramferry: this needs {name}, {which}\n" for name in libraries]
    assert not page.exists()


def test_help_needs_no_extra() -> None:
    code, text, _ = without(",".join(EXTRAS), "bench", "run", "--help")
    assert (code, "Usage: " in text) == (0, True)


def test_another_module_that_is_missing_is_a_bug() -> None:
    code, _, said = without("numpy", "inspect", __file__)
    assert (code, "ModuleNotFoundError" in said) == (1, True)


def test_the_extras_are_pyprojects() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    brought = {
        name.partition(">")[0].replace("-", "_"): extra
        for extra in ("report", "bench", "metrics")
        for name in extras[extra]
    }
    assert brought == dict(EXTRAS)
