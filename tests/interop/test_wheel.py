"""The wheel and the sdist: the same bytes each time, whole, and installed by pip alone."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import pytest

from ramferry import __version__

CHECKOUT: Final = Path(__file__).resolve().parents[2]
WHEEL: Final = f"ramferry-{__version__}-py3-none-any.whl"
SDIST: Final = f"ramferry-{__version__}.tar.gz"

# pip fetches some 50 MB
pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.timeout(1200)]


def build() -> dict[str, bytes]:
    subprocess.run(["make", "dist"], cwd=CHECKOUT, capture_output=True, check=True, timeout=600)
    return {name: (CHECKOUT / "dist" / name).read_bytes() for name in (WHEEL, SDIST)}


@pytest.fixture(scope="module")
def dist() -> dict[str, bytes]:
    return build()


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_the_same_commit_makes_the_same_bytes(dist: dict[str, bytes]) -> None:
    assert build() == dist


@pytest.mark.usefixtures("dist")
def test_a_wheel_of_the_sdist_is_the_same(tmp_path: Path) -> None:
    with tarfile.open(CHECKOUT / "dist" / SDIST) as file:
        file.extractall(tmp_path, filter="data")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel"],
        cwd=tmp_path / f"ramferry-{__version__}",
        capture_output=True,
        check=True,
        timeout=300,
    )
    again = contents(tmp_path / f"ramferry-{__version__}/dist" / WHEEL)
    assert again == contents(CHECKOUT / "dist" / WHEEL)


@pytest.mark.usefixtures("dist")
def test_nothing_in_them_leads_back_to_this_host() -> None:
    found = contents(CHECKOUT / "dist" / WHEEL)
    assert any(name.endswith("share/man/man1/ramferry-plan-time.1") for name in found)
    assert not [name for name, held in found.items() if str(CHECKOUT).encode() in held]


@pytest.mark.usefixtures("dist")
def test_pip_alone_installs_it_and_it_works() -> None:
    subprocess.run([CHECKOUT / "tools/wheels.sh", sys.executable], check=True, timeout=1000)
