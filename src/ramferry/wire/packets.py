"""Packets of a multifd channel as records and as bytes.

Layouts (big-endian) were read off captures of QEMU 7.2 to 11.1; ``docs/wire-format.md`` has the
tables.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ramferry.errors import UsageError
from ramferry.vocabulary import METHOD_FLAGS, PACKET_BYTES, PAGE_SIZE

MAGIC: Final = 0x11223344
VERSION: Final = 1
MAX_DEVICE_STATE: Final = 64 * 1024 * 1024
"""Ramferry's own limit for one DEVICE_STATE payload, in bytes; QEMU's VFIO code sends about 1
MiB."""

INITIAL_SIZE: Final = 64
INITIAL_LAYOUT = struct.Struct(">II16sB39x")
CHANNEL_ID_AT: Final = 24
COMMON_LAYOUT = struct.Struct(">III")
RAM_LAYOUT = struct.Struct(">IIIIIIQI28x256s")
DEVICE_STATE_LAYOUT = struct.Struct(">III256sII")
FLAGS_AT: Final = 8
SIZE_AT: Final = 20
OFFSETS_AT: Final = 320

SYNC: Final = 0x01
DEVICE_STATE: Final = 0x40
METHOD_MASK: Final = sum(METHOD_FLAGS.values())
METHOD_NAMES: Final = {bits: name for name, bits in METHOD_FLAGS.items()}
KNOWN_FLAGS: Final = SYNC | METHOD_MASK | DEVICE_STATE


@dataclass(frozen=True, slots=True)
class Initial:
    """A channel's first 64 bytes: which guest and which channel it belongs to."""

    uuid: bytes
    """16 bytes; zeros if the guest has no ``-uuid``."""
    channel_id: int

    @property
    def name(self) -> str:
        """How sentences and counters call the channel."""
        return f"multifd {self.channel_id}"

    def encode(self) -> bytes:
        """The 64 bytes that open a channel."""
        return INITIAL_LAYOUT.pack(MAGIC, VERSION, self.uuid, self.channel_id)


def header_size(page_size: int) -> int:
    """Bytes of a RAM packet header: 320, plus 8 for each page that a full packet holds."""
    return OFFSETS_AT + 8 * (PACKET_BYTES // page_size)


def ram_header(
    *,
    page_size: int = PAGE_SIZE,
    flags: int = 0,
    block: str = "",
    normal: Sequence[int] | NDArray[np.uint64] = (),
    zero: Sequence[int] | NDArray[np.uint64] = (),
    payload_size: int = 0,
    packet_num: int = 0,
) -> bytearray:
    """A RAM packet header as QEMU ≥ 9.0 writes it; ``normal`` and ``zero`` are page offsets."""
    raw = bytearray(header_size(page_size))
    pages = len(normal) + len(zero)
    alloc = PACKET_BYTES // page_size if pages else 0
    if pages > PACKET_BYTES // page_size:
        raise UsageError(f"a packet holds {PACKET_BYTES // page_size} pages, not {pages}")
    fields = (MAGIC, VERSION, flags, alloc, len(normal), payload_size, packet_num, len(zero))
    RAM_LAYOUT.pack_into(raw, 0, *fields, block.encode())
    offsets = np.frombuffer(raw, ">u8", pages, OFFSETS_AT)
    offsets[: len(normal)] = normal
    offsets[len(normal) :] = zero
    return raw
