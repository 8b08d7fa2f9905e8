"""The command line in this process, for tests."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from ramferry.cli import main

Run = Callable[..., int]
"""Runs a command with arguments; its exit code."""


def in_process(monkeypatch: pytest.MonkeyPatch, command: str) -> Run:
    """What runs ``ramferry COMMAND`` with its arguments, whatever they are."""

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["ramferry", command, *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0)

    return call


def refused_untouched(
    run: Run,
    arguments: tuple[object, ...],
    code: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A migration that ends so before a QEMU is touched: there is none."""
    assert run("qmp:/nonexistent/s", "qmp:/nonexistent/d", *arguments) == code
    assert sentence in capsys.readouterr().err
