"""Nothing above ``transport`` handles a socket itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import ramferry

SOURCE: Final = Path(ramferry.__file__).parent

BELOW: Final = {"transport"}
MODULES: Final = {"_socket", "socket", "socketserver", "ssl"}


def packages() -> list[str]:
    """All packages and modules of ``ramferry`` that are to be free of sockets."""
    found = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or path.is_dir()}
    return sorted(found - BELOW - {"__pycache__"})


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def named(tree: ast.AST) -> Iterator[str]:
    """``socket.socket``, also by way of another module that imported ``socket``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "socket":
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            if name == "socket":
                yield "socket.socket"


@pytest.mark.parametrize("package", packages())
def test_no_socket_above_transport(package: str) -> None:
    place = SOURCE / package
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    for file in files:
        tree = ast.parse(file.read_text())
        found = {*(MODULES & set(imported(tree))), *named(tree)}
        assert not found, f"{file.relative_to(SOURCE)} handles {', '.join(sorted(found))}"
