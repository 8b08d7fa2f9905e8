"""A guest that writes to its disk without end, and notes in its RAM what it has written.

The disk itself is what it boots from. Its loop: count, write the count to the disk's second
sector, note the count as written. So whenever the guest stands still, what the disk holds lies
between what the RAM has noted and what it has counted.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DISK_BYTES = 1 << 20
SECTOR = 512
COUNTED_AT, NOTED_AT = 0x9004, 0x9008
CODE = bytes.fromhex(
    "31c0 8ed8 8ec0 8ed0"  # xor ax,ax; ds, es, ss = ax
    "bc007c"  # mov sp,0x7c00
    "88160090"  # mov [0x9000],dl: the drive that the firmware booted from
    "fb"  # sti
    "66ff060490"  # again: inc dword [0x9004]
    "66a10490"  # mov eax,[0x9004]
    "66a300a0"  # mov [0xa000],eax: the sector to write
    "be357c"  # mov si,packet
    "b80043"  # mov ax,0x4300: extended write
    "8a160090"  # mov dl,[0x9000]
    "cd13"  # int 0x13
    "72e5"  # jc again
    "66a100a0"  # mov eax,[0xa000]
    "66a30890"  # mov [0x9008],eax
    "ebdb"  # jmp again
    "1000 0100 00a0 0000 0100000000000000"  # packet: one sector, from 0:0xa000, to LBA 1
)


class Noted(NamedTuple):
    """What the guest's RAM says."""

    written: int
    """The count of which the guest knows that it is on the disk."""
    counted: int
    """The count that it writes, or has written."""


def write_disk(path: Path) -> Path:
    """Make a raw disk that boots; returns ``path``."""
    path.write_bytes((CODE.ljust(SECTOR - 2, b"\0") + b"\x55\xaa").ljust(DISK_BYTES, b"\0"))
    return path


def noted(ram: NDArray[np.uint8]) -> Noted:
    """How far the guest is, also while it runs."""
    counted, written = (int(ram[at : at + 4].view("<u4")[0]) for at in (COUNTED_AT, NOTED_AT))
    return Noted(written, counted)


def on_disk(image: Path) -> int:
    """The count that a raw disk holds."""
    with image.open("rb") as file:
        return int.from_bytes(file.read(SECTOR + 4)[SECTOR:], "little")
