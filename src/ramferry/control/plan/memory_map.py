"""Where a guest's RAM is, asked of its QEMU: the addresses that ``pmemsave`` takes.

A guest's physical addresses have holes, and each machine has others: ``pc`` puts what is beyond 3
or 3.5 GiB above 4 GiB, ``q35`` what is beyond 2 or 2.75 GiB, and hot-plugged memory lies behind
both. So the layout is not computed here: the monitor's ``info mtree -f`` prints the flat view of
the address space::

    FlatView #0
     AS "memory", root: system
     AS "cpu-memory-0", root: system
     Root memory region: system
      0000000000000000-00000000000bffff (prio 0, ram): pc.ram
      00000000000c0000-00000000000dffff (prio 1, rom): pc.rom
      00000000fec00000-00000000fec00fff (prio 0, i/o): ioapic

QEMU 7.2 and 10.0 print the same, with a ``KVM`` behind a range that KVM maps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ramferry.control.qemu.probe import Asks
from ramferry.errors import MethodUnavailable

_AS: Final = re.compile(r'\s*AS "([^"]*)"')
_RANGE: Final = re.compile(r"\s*([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, (?:nv-)?(?:ram|rom)\):")


@dataclass(frozen=True, slots=True)
class Extent:
    """A range of guest-physical addresses that hold RAM or ROM: what a migration carries."""

    address: int
    size: int


def layout(qemu: Asks, uri: str) -> tuple[Extent, ...]:
    """Ask a QEMU where its guest's memory is, lowest address first.

    :raise MethodUnavailable: it does not tell.
    """
    line = "info mtree -f"
    text = str(qemu.execute("human-monitor-command", {"command-line": line}))
    extents = parse_layout(text)
    if not extents:
        raise MethodUnavailable(
            f"the QEMU at {uri} does not tell where its guest's memory is (`{line}` names none):"
            " give a file with the guest's RAM instead"
        )
    return extents


def parse_layout(text: str) -> tuple[Extent, ...]:
    """The ranges of RAM and ROM, without those of devices, in the flat view of the address space
    "memory"."""
    found: list[Extent] = []
    here = False
    for line in text.splitlines():
        if line.startswith("FlatView"):
            here = False
        elif match := _AS.match(line):
            here = here or match[1] == "memory"
        elif here and (match := _RANGE.match(line)):
            first, last = int(match[1], 16), int(match[2], 16)
            if first <= last:
                found.append(Extent(first, last - first + 1))
    return tuple(sorted(found, key=lambda extent: extent.address))
