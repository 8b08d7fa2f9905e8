"""The flat view of a guest's memory, as QEMU 7.2 and 10.0 print it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from ramferry.control.plan.memory_map import Extent, layout, parse_layout
from ramferry.errors import MethodUnavailable

Q35 = """FlatView #0
 AS "cpu-smm-0", root: memory
 Root memory region: memory
  0000000000000000-000000000009ffff (prio 0, ram): pc.ram
FlatView #1
 AS "I/O", root: io
  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan
FlatView #2
 AS "vga", root: bus master container
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000100000000-000000013fffffff (prio 0, ram): pc.ram @0000000080000000 KVM
  0000000000000000-000000000009ffff (prio 0, ram): pc.ram KVM
  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
  00000000000c0000-00000000000dffff (prio 1, rom): pc.rom KVM
  0000000000100000-000000007fffffff (prio 0, ram): pc.ram @0000000000100000 KVM
  00000000e0000000-00000000e0ffffff (prio 1, ramd): 0000:01:00.0 BAR 0
  00000000ffc84000-00000000ffffffff (prio 0, romd): system.flash0
  0000000140000000-000000014fffffff (prio 0, nv-ram): nvdimm
FlatView #3
 AS "PIIX3", root: bus master container
  0000000200000000-00000002ffffffff (prio 0, ram): other
"""

EXTENTS = (
    Extent(0, 0xA0000),
    Extent(0xC0000, 0x20000),
    Extent(0x100000, 0x7FF00000),
    Extent(0x100000000, 0x40000000),
    Extent(0x140000000, 0x10000000),
)


class Monitor:
    """Answers one command."""

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Any]] = []

    def execute(self, command: str, arguments: Mapping[str, object] | None = None, /) -> Any:
        self.asked.append((command, arguments))
        return self.answer


def test_ram_and_rom_of_the_one_address_space_in_order() -> None:
    assert parse_layout(Q35) == EXTENTS
    assert parse_layout(Q35.replace("\n", "\r\n")) == EXTENTS


def test_the_monitor_is_asked_for_the_flat_view() -> None:
    monitor = Monitor(Q35)
    assert layout(monitor, "qmp:x") == EXTENTS
    assert monitor.asked == [("human-monitor-command", {"command-line": "info mtree -f"})]


@pytest.mark.parametrize("answer", ["", "unknown command: 'info mtree'\r\n", "FlatView #0\n"])
def test_a_qemu_that_does_not_tell(answer: str) -> None:
    with pytest.raises(MethodUnavailable, match="does not tell where its guest's memory is"):
        layout(Monitor(answer), "qmp:x")
