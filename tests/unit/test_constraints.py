"""tools/constraints.txt pins what pyproject.toml asks for, and says nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"([A-Za-z0-9._-]+)==[0-9][A-Za-z0-9.]*")


def _normal(requirement: str) -> str:
    """The name of a requirement as package indexes compare it (PEP 503)."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def _lines() -> list[str]:
    text = (CHECKOUT / "tools/constraints.txt").read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_every_line_is_a_plain_pin() -> None:
    assert _lines()
    assert not [line for line in _lines() if not PIN.fullmatch(line)]


def test_every_dependency_is_pinned() -> None:
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    project = settings["project"]
    wanted = settings["build-system"]["requires"] + project["dependencies"]
    for extra in project["optional-dependencies"].values():
        wanted = wanted + extra
    pinned = {_normal(line) for line in _lines()}
    assert not {_normal(one) for one in wanted} - pinned
