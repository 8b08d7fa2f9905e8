"""A guest whose disk has a dirty bitmap: it goes along in the main channel, RAM stays precopy."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from migrating import MIB, Pair, assert_same_ram, two_qemus

from ramferry.bench.fill import fill
from ramferry.bench.qemu import Qemu

pytestmark = pytest.mark.interop

DISK = ("-blockdev", f"driver=null-co,node-name=disk,size={64 * MIB}")
WITH_BITMAPS = {"capabilities": [{"capability": "dirty-bitmaps", "state": True}]}


def bitmaps(qemu: Qemu) -> list[str]:
    nodes: list[dict[str, Any]] = qemu.qmp.execute("query-named-block-nodes")
    return [bitmap["name"] for node in nodes for bitmap in node.get("dirty-bitmaps", ())]


@pytest.mark.parametrize("pair", ["stock", "10.0", "stock-10.0"], indirect=True)
def test_a_dirty_bitmap_goes_along(pair: Pair) -> None:
    with two_qemus(pair, 64 * MIB, options=DISK) as (source, destination):
        fill(source.ram)
        bitmap = {"node": "disk", "name": "backup", "persistent": False}
        source.qmp.execute("block-dirty-bitmap-add", bitmap)
        for qemu in (source, destination):
            qemu.qmp.execute("migrate-set-capabilities", WITH_BITMAPS)
        command = [sys.executable, "-m", "ramferry", "migrate", source.uri, destination.uri]
        done = subprocess.run(
            [*command, "--relay", "both"], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert bitmaps(destination) == ["backup"]
        assert_same_ram(source, destination)
