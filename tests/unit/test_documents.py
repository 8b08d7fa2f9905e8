"""What the documents say of the code, held against the code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ramferry import errors
from ramferry.cli import table

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = [CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (CHECKOUT / "docs").rglob("*.md")
)


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
