"""What the documents say of the code, held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ramferry import errors

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


def test_architecture_names_every_package() -> None:
    text = (CHECKOUT / "docs/architecture.md").read_text()
    packages = {path.parent.name for path in (CHECKOUT / "src/ramferry").glob("*/__init__.py")}
    assert packages
    assert not {name for name in packages if f"`{name}`" not in text}
