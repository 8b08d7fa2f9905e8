"""The bytes of the benchmarks' guest against what nasm makes of their source."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ramferry.bench import boot_sector

pytestmark = pytest.mark.interop

SOURCE = Path(boot_sector.__file__).with_name("boot_sector.asm")
PARAMETERS_AT = 490


def test_code_is_what_nasm_makes_of_the_source(
    require_peer: Callable[[str], Path], tmp_path: Path
) -> None:
    image = tmp_path / "boot_sector.bin"
    subprocess.run([require_peer("nasm"), "-f", "bin", "-o", image, SOURCE], check=True)
    made = image.read_bytes()
    assert len(made) == 512
    assert made[:PARAMETERS_AT].rstrip(b"\0") == boot_sector.CODE
    assert made[PARAMETERS_AT:] == bytes(20) + b"\x55\xaa"
