"""What the documents say of the code, held against the code."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from ramferry import errors
from ramferry.cli import table

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = [CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (CHECKOUT / "docs").rglob("*.md")
)


SOURCES = sorted((CHECKOUT / "src/ramferry").rglob("*.py"))


def _codes(cls: type[errors.RamferryError]) -> set[int]:
    return {cls.exit_code}.union(*(_codes(below) for below in cls.__subclasses__()))


def test_readme_lists_the_exit_codes_of_the_error_tree() -> None:
    rows = re.findall(r"^\| (\d+) \| \S", (CHECKOUT / "README.md").read_text(), re.MULTILINE)
    assert {int(row) for row in rows} == _codes(errors.RamferryError) | {0, 130}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
    missing = [
        link for link in links if "://" not in link and not (document.parent / link).exists()
    ]
    assert not missing


def _parts() -> set[str]:
    """Packages and modules at the top."""
    top = CHECKOUT / "src/ramferry"
    modules = {path.stem for path in top.glob("*.py") if not path.stem.startswith("__")}
    return modules | {path.parent.name for path in top.glob("*/__init__.py")}


def test_architecture_names_every_package() -> None:
    text = (CHECKOUT / "docs/architecture.md").read_text()
    assert not {name for name in _parts() if f"`{name}`" not in text}


def test_every_package_has_its_layer() -> None:
    contracts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = " | ".join(contracts["contracts"][0]["layers"]).replace("ramferry.", "")
    assert set(layers.split(" | ")) == _parts()


def _commands(group: click.Group) -> Iterator[click.Command]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield from _commands(command) if isinstance(command, click.Group) else [command]


def test_every_commands_exit_codes_are_the_trees() -> None:
    told = [epilog for one in _commands(table) if "Exit codes:" in (epilog := one.epilog or "")]
    assert len(told) > 5
    for text in told:
        codes = re.findall(r"(?:: |; |, )(\d+) ", " ".join(text.split()))
        assert len(codes) > 2, text
        assert {int(one) for one in codes} <= _codes(errors.RamferryError) | {0, 130}, text


def test_one_rule_tells_a_cancelled_command_from_an_interrupted_one() -> None:
    """Where a command is at work a signal is a wish, and it ends with 6; before that with 130."""
    told = [" ".join((one.epilog or "").split()) for one in _commands(table)]
    cancelled = [text for text in told if re.search(r"[;,] 6 ", text)]
    assert len(cancelled) > 5
    rule = "interrupted before it was at work"
    assert [text for text in told if f"130 {rule}" in text] == cancelled
    readme = (CHECKOUT / "README.md").read_text()
    row = re.search(r"^\| 130 \| (.*) \|$", readme, re.MULTILINE)
    assert row is not None
    assert "before it was at work" in row[1]


DESCRIBED = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]
"""What says how things are now; a changelog also says what they were called once."""


def _docstrings(source: str) -> str:
    """The docstrings of a module, its classes, functions and attributes."""
    bodies = [node.body for node in ast.walk(ast.parse(source)) if hasattr(node, "body")]
    statements = [one for body in bodies if isinstance(body, list) for one in body]
    values = [one.value for one in statements if isinstance(one, ast.Expr)]
    texts = [one.value for one in values if isinstance(one, ast.Constant)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _names(text: str) -> set[str]:
    """The names in backquotes that begin with a part of the package: `flows.inlet.main`.

    Names of files, as `qatzip.h`, are none.
    """
    parts = "|".join(sorted(_parts()))
    return set(re.findall(rf"`~?(?:ramferry\.)?((?:{parts})(?:\.(?!(?:py|h)`)\w+)+)`", text))


@cache
def _exists(name: str) -> bool:
    """Whether ``ramferry.<name>`` is a module, or something that a module defines."""
    words = f"ramferry.{name}".split(".")
    for at in range(len(words), 1, -1):
        found, module = None, ".".join(words[:at])
        try:
            found = find_spec(module)
        except ModuleNotFoundError:  # what is in front of the last dot is no package
            continue
        if found is not None:
            return _defines(importlib.import_module(module), words[at:])
    return False


def _defines(thing: object, words: list[str]) -> bool:
    """Whether a name leads somewhere from here; a field of a class counts, too."""
    if not words:
        return True
    if hasattr(thing, words[0]):
        return _defines(getattr(thing, words[0]), words[1:])
    return words[0] in getattr(thing, "__annotations__", {})


def _relative(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


@pytest.mark.parametrize("document", DESCRIBED, ids=_relative)
def test_documents_name_what_there_is(document: Path) -> None:
    assert not [name for name in _names(document.read_text()) if not _exists(name)]


def test_docstrings_name_what_there_is() -> None:
    named = {
        (_relative(path), name)
        for path in SOURCES
        for name in _names(_docstrings(path.read_text()))
    }
    assert len(named) > 20
    assert not [one for one in sorted(named) if not _exists(one[1])]


@pytest.mark.parametrize("name", ["flows.relay", "flows.session.session.Session.behind", "errors"])
def test_a_name_of_the_package_is_found(name: str) -> None:
    assert _exists(name)


@pytest.mark.parametrize(
    "name", ["flows.calls", "flows.relay.NoSuch", "wire.grammar.TRANSITIONS.x", "relay.flows"]
)
def test_a_name_that_is_gone_is_noticed(name: str) -> None:
    assert not _exists(name)
