"""Small qcow2 images, written and read without QEMU's tools: version 2, no snapshot, no backing
file, at most 512 MiB (one table of clusters). QEMU's docs/interop/qcow2.txt has the format."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

HEADER: Final = struct.Struct(">4sIQIIQIIQQIIQ")
CLUSTER_BITS: Final = 16
CLUSTER: Final = 1 << CLUSTER_BITS
ENTRIES: Final = CLUSTER // 8
ALONE: Final = 1 << 63
"""A table's mark at a cluster that nothing else refers to."""
OFFSET: Final = (1 << 56) - 512


def write_image(path: Path, size: int, content: bytes = b"") -> Path:
    """Make an image of ``size`` bytes that begins with ``content``; returns ``path``.

    Its clusters: header, reference counts' table and block, table of tables, table, content.
    """
    used = -(-len(content) // CLUSTER)
    header = (b"QFI\xfb", 2, 0, 0, CLUSTER_BITS, size, 0, 1, 3 * CLUSTER, CLUSTER, 1, 0, 0)
    clusters = [
        HEADER.pack(*header),
        struct.pack(">Q", 2 * CLUSTER),
        struct.pack(">H", 1) * (5 + used),
        struct.pack(">Q", 4 * CLUSTER | ALONE),
        b"".join(struct.pack(">Q", (5 + at) * CLUSTER | ALONE) for at in range(used)),
    ]
    path.write_bytes(b"".join(one.ljust(CLUSTER, b"\0") for one in clusters) + content)
    return path


def read_image(path: Path) -> bytes:
    """What a guest sees on an image; clusters that are not there are zeros."""
    data = path.read_bytes()
    magic, _, _, _, bits, size, _, tables, table, *_ = HEADER.unpack_from(data)
    assert (magic, bits) == (b"QFI\xfb", CLUSTER_BITS)
    found = bytearray(-(-size // CLUSTER) * CLUSTER)
    for outer, entry in enumerate(struct.unpack_from(f">{tables}Q", data, table)):
        if not entry & OFFSET:
            continue
        inner = struct.unpack_from(f">{ENTRIES}Q", data, entry & OFFSET)
        for at, one in enumerate(inner):
            assert not one >> 62 & 1, "a compressed cluster"
            if one & OFFSET and not one & 1:
                begin = (outer * ENTRIES + at) * CLUSTER
                piece = data[one & OFFSET : (one & OFFSET) + CLUSTER]
                found[begin : begin + len(piece)] = piece
    return bytes(found[:size])
