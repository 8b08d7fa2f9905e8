"""The manual pages: one a command, with all that its ``--help`` has, read without a warning."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ramferry.cli import table
from ramferry.cli.lazy import LazyGroup

CHECKOUT = Path(__file__).resolve().parents[2]
READERS = {
    "groff": ["-man", "-Tutf8", "-ww"],
    "mandoc": ["-Tlint", "-Wstyle"],
    "man": ["--warnings", "-l", "-Tutf8"],
}


def write(folder: Path) -> Path:
    subprocess.run(
        [sys.executable, CHECKOUT / "packaging/man.py", folder],
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
        check=True,
        timeout=60,
    )
    return folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("man") / "man1")


def commands(group: LazyGroup, *words: str) -> dict[str, click.Command]:
    """Words joined by hyphens → command."""
    found: dict[str, click.Command] = {"-".join(words): group}
    for name in group.parts:
        part = group.get_command(click.Context(group), name)
        assert part is not None
        if isinstance(part, LazyGroup):
            found |= commands(part, *words, name)
        else:
            found["-".join([*words, name])] = part
    return found


COMMANDS = commands(table, "ramferry")  # type: ignore[arg-type] # a LazyGroup, by its decorator


def test_there_is_a_page_for_each_command(pages: Path) -> None:
    assert {page.name for page in pages.iterdir()} == {f"{name}.1" for name in COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_page_has_every_option_and_the_exit_codes(name: str, pages: Path) -> None:
    page = (pages / f"{name}.1").read_text()
    shown = [one for one in COMMANDS[name].params if not getattr(one, "hidden", False)]
    for option in shown:
        for word in option.opts if isinstance(option, click.Option) else ():
            assert rf"\fB{word}".replace("-", r"\-") in page
    told = name == "ramferry" or "Exit codes" in (COMMANDS[name].epilog or "")
    assert (".SH EXIT STATUS" in page) == told


def test_a_page_says_what_help_says(pages: Path) -> None:
    page = (pages / "ramferry-plan-link.1").read_text()
    assert '.TH "RAMFERRY\\-PLAN\\-LINK" 1 2023-11-14 "ramferry ' in page
    assert "ramferry\\-plan\\-link \\- wait at the far end for a probe of the link" in page
    assert "\\fBramferry plan link\\fR \\fI[OPTIONS]\\fR \\fItcp:HOST:PORT\\fR" in page
    assert ".TP\n\\fB\\-\\-wait\\fR \\fIS\\fR\nSeconds after which it ends" in page
    assert "[default: 600.0; x>0]" in page
    assert "\\fBramferry plan time GUEST \\-\\-link probe:HOST:PORT\\fR" in page
    assert "0 probed; 2 usage; 3 no probe came" in page


@pytest.mark.parametrize("reader", READERS)
def test_pages_are_read_without_a_warning(reader: str, pages: Path) -> None:
    program = shutil.which(reader)
    if program is None:
        pytest.skip(f"{reader} is not on the PATH")
    for page in sorted(pages.iterdir()):
        done = subprocess.run(
            [program, *READERS[reader], str(page)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stderr == ""
        if reader == "mandoc":
            assert done.stdout == ""


def test_the_same_code_writes_the_same_pages(pages: Path, tmp_path: Path) -> None:
    again = write(tmp_path / "man1")
    for page in pages.iterdir():
        assert (again / page.name).read_bytes() == page.read_bytes()
