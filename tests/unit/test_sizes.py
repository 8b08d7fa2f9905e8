"""CONTRIBUTING's sizes: a file of src has at most 300 lines, a function at most 30."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src" / "ramferry"
MOST_OF_A_FILE, MOST_OF_A_FUNCTION = 300, 30

LONGER_FILES: dict[str, int] = {}
LONGER_FUNCTIONS: dict[str, int] = {}
"""What is longer, each with its lines: nothing may come or grow, and what is short enough by now
leaves the list."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Every function below a node, by its qualified name."""
    for child in ast.iter_child_nodes(node):
        name = prefix
        if isinstance(child, Function | ast.ClassDef):
            name = f"{prefix}{child.name}"
            if isinstance(child, Function):
                yield name, child
            name += "."
        yield from functions(child, name)


def lines_of(function: Function) -> int:
    """From ``def`` to the end, without the docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        assert first.end_lineno is not None
        lines -= first.end_lineno - first.lineno + 1
    return lines


def modules() -> Iterator[tuple[str, str]]:
    """Each file of src by its name there, and its text."""
    for path in sorted(SRC.rglob("*.py")):
        yield str(path.relative_to(SRC)), path.read_text()


def check(sizes: dict[str, int], most: int, longer: dict[str, int]) -> None:
    """Nothing is longer than ``most`` but what is on the list, and that has not grown."""
    assert sizes
    found = {name: n for name, n in sizes.items() if n > most}
    assert {name: n for name, n in found.items() if n > longer.get(name, 0)} == {}, "shorten"
    assert set(longer) - set(found) == set(), "short enough by now: take it off the list"


def test_no_file_has_more_than_300_lines() -> None:
    check({name: len(text.splitlines()) for name, text in modules()}, MOST_OF_A_FILE, LONGER_FILES)


def test_no_function_has_more_than_30_lines() -> None:
    sizes = {
        f"{name}:{place}": lines_of(function)
        for name, text in modules()
        for place, function in functions(ast.parse(text))
    }
    check(sizes, MOST_OF_A_FUNCTION, LONGER_FUNCTIONS)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f():\n    pass", {"f": 2}),
        ('def f():\n    """One.\n\n    Two.\n    """\n    pass', {"f": 2}),
        ("def f(\n    a,\n):\n    pass", {"f": 4}),
        (
            "class C:\n    def f(self):\n        def g():\n            1\n        return g",
            {"C.f": 4, "C.f.g": 2},
        ),
        ("if x:\n    async def f():\n        pass", {"f": 2}),
    ],
)
def test_a_function_is_counted_from_its_def_without_its_docstring(
    source: str, expected: dict[str, int]
) -> None:
    found = functions(ast.parse(source))
    assert {name: lines_of(function) for name, function in found} == expected
