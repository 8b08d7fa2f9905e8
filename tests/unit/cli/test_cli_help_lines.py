"""``--help``: lines break between words, not inside a name, and fit a terminal."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from ramferry.cli import COMMANDS, table
from ramferry.cli.help_lines import HelpContext


@pytest.mark.parametrize("command", [(), ("plan", "time"), *((name,) for name in COMMANDS)])
def test_no_line_ends_within_a_word(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(table, [*command, "--help"], terminal_width=80)
    assert done.exit_code == 0
    assert "\N{NON-BREAKING HYPHEN}" not in done.output
    assert [line for line in done.output.splitlines() if line.endswith("-")] == []
    assert [line for line in done.output.splitlines() if len(line) > 80] == []


def test_a_name_that_does_not_fit_goes_on_the_next_line() -> None:
    name = "server-cert.pem"

    @click.command(help=f"{'x' * 70} {name}")
    @click.option("--file", help=f"{'x' * 60} {name}")
    def made(file: str) -> None: ...

    made.context_class = HelpContext
    said = CliRunner().invoke(made, ["--help"], terminal_width=80).output
    assert [line.strip() for line in said.splitlines()].count(name) == 2
