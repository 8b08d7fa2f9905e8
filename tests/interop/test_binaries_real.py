"""What real QEMUs answer when they are asked what they have built in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ramferry.control.qemu.binaries import ask_qemu

pytestmark = pytest.mark.interop


@pytest.mark.parametrize(
    ("command", "version"), [("qemu-system-x86_64", ""), ("qemu-system-x86_64-10.0", "10.0.")]
)
def test_a_real_qemu_tells_its_methods(
    require_peer: Callable[[str], Path], command: str, version: str
) -> None:
    built = ask_qemu(str(require_peer(command)))
    assert built.trouble == ""
    assert built.version.startswith(version)
    assert {"none", "zlib"} <= set(built.methods)
