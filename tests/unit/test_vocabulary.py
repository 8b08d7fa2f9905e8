"""QEMU's words stand once: in ``ramferry.vocabulary``, which imports nothing but ``typing``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ramferry
from ramferry import vocabulary

SOURCE = Path(ramferry.__file__).parent
LEAF = SOURCE / "vocabulary.py"
WORDS = frozenset(name for name in vars(vocabulary) if name[0].isupper()) - {"Final", "Literal"}

SAME_NAME = {
    ("bench/shapes.py", "AUTO"): "of --shape: how the link's rate is held",
    ("flows/unwrapping.py", "_GZIP"): "the first bytes of a gzip file",
    ("bench/scenario.py", "IDLE"): "a guest that writes nothing",
    ("cli/report.py", "FORMATS"): "the report's",
    ("control/archive/disks.py", "FORMATS"): "of disk images",
}
"""Words that mean something else in their module, which nobody else imports."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        if path != LEAF:
            yield str(path.relative_to(SOURCE)), ast.parse(path.read_text())


def assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    """Names that a module's own statements bind, and to what."""
    for statement in body:
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets: list[ast.expr] = [statement.target]
        elif isinstance(statement, ast.Assign):
            targets = statement.targets
        else:
            continue
        for target in targets:
            pairs = [(target, statement.value)]
            if isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
                pairs = list(zip(target.elts, statement.value.elts, strict=True))
            yield from ((one.id, value) for one, value in pairs if isinstance(one, ast.Name))


def number(node: ast.expr) -> object:
    """The value of an expression of numbers; None where it is something else."""
    parts = ast.BinOp | ast.Constant | ast.operator
    if not all(isinstance(part, parts) for part in ast.walk(node)):
        return None
    value = eval(compile(ast.Expression(node), "", "eval"))
    return value if type(value) is int else None


def words_in(node: ast.AST) -> frozenset[str] | None:
    """The strings of a literal tuple, list, set, ``Literal`` or mapping's keys."""
    parts: list[ast.expr | None]
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        parts = list(node.elts)
    elif isinstance(node, ast.Dict) and all(number(value) is not None for value in node.values):
        parts = list(node.keys)
    else:
        return None
    found = [part.value for part in parts if isinstance(part, ast.Constant)]
    return frozenset(one for one in found if isinstance(one, str))


def faults(name: str, tree: ast.Module) -> Iterator[str]:
    """Each place of a module where a word of the vocabulary is defined a second time."""
    for bound, value in assigned(tree.body):
        if bound.lstrip("_") in WORDS and (name, bound) not in SAME_NAME:
            yield f"{name}: {bound} is a word of the vocabulary"
        if number(value) == vocabulary.PACKET_BYTES:
            yield f"{name}: {bound} is PACKET_BYTES"
        if ast.unparse(value) == "bytes | bytearray | memoryview":
            yield f"{name}: {bound} is Buffer"
    whole = [
        frozenset(words)
        for words in (
            vocabulary.METHOD_FLAGS,
            vocabulary.METHOD_LEVELS,
            vocabulary.ACCELERATORS,
            vocabulary.FORMATS,
            vocabulary.STATUSES,
            vocabulary.ENDED,
            vocabulary.IDLE,
        )
    ]
    for node in ast.walk(tree):
        if words_in(node) in whole:
            yield f"{name}:{getattr(node, 'lineno', 0)}: a list of the vocabulary once more"
        if isinstance(node, ast.arguments):
            every = [*node.posonlyargs, *node.args]
            pairs = [*zip(every[len(every) - len(node.defaults) :], node.defaults, strict=True)]
            pairs += [
                (arg, default)
                for arg, default in zip(node.kwonlyargs, node.kw_defaults, strict=True)
                if default is not None
            ]
            yield from _page_sizes(name, ((arg.arg, default) for arg, default in pairs))
        elif isinstance(node, ast.Module | ast.ClassDef):
            yield from _page_sizes(name, assigned(node.body))


def _page_sizes(name: str, pairs: Iterator[tuple[str, ast.expr]]) -> Iterator[str]:
    for bound, value in pairs:
        parts = bound.strip("_").lower().split("_")
        if "page" in parts and number(value) == vocabulary.PAGE_SIZE:
            yield f"{name}: {bound} is PAGE_SIZE"


def test_no_word_of_the_vocabulary_is_defined_again() -> None:
    found = [fault for name, tree in modules() for fault in faults(name, tree)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "again",
    [
        "_PING = 2",
        "PACKET_BYTES: int = 1",
        "FULL = 512 * 1024",
        "FULL = 1 << 19",
        "Data = bytes | bytearray | memoryview",
        "choices = ['zstd', 'none', 'zlib', 'qatzip', 'qpl', 'uadk']",
        "bits = {'none': 0, 'zlib': 2, 'zstd': 4, 'qpl': 8, 'uadk': 16, 'qatzip': 32}",
        "def over(status):\n    return status in ('completed', 'failed', 'cancelled')",
        "Wanted = Literal['auto', 'require', 'off']",
        "PAGE = 4096",
        "def read(*, page_size: int = 4096): ...",
        "class Settings:\n    page_size: int = 4096",
    ],
)
def test_a_second_definition_is_seen(again: str) -> None:
    assert list(faults("other.py", ast.parse(again)))


def test_other_names_and_numbers_are_let_pass() -> None:
    text = "ROUNDS = 2\nMOST = 4096\nseen = {'completed': done, 'failed': lost, 'cancelled': lost}"
    assert not list(faults("other.py", ast.parse(text)))


def test_exceptions_are_still_there() -> None:
    """An exception for a name that is gone would hide the next one."""
    bound = {(name, one) for name, tree in modules() for one, _ in assigned(tree.body)}
    assert set(SAME_NAME) <= bound


def test_the_vocabulary_imports_nothing_but_typing() -> None:
    imports = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(LEAF.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert imports == ["from typing import Final, Literal, get_args"]


def test_methods_levels_and_parameters_agree() -> None:
    assert set(vocabulary.METHOD_LEVELS) < set(vocabulary.METHOD_FLAGS)
    assert vocabulary.LEVEL_PARAMETERS["zlib"] == "multifd-zlib-level"
    assert all(vocabulary.DEFAULT_LEVEL in levels for levels in vocabulary.METHOD_LEVELS.values())
    assert vocabulary.PACKET_BYTES % max(vocabulary.PAGE_SIZES) == 0
    assert set(vocabulary.STATUSES) > vocabulary.ENDED
