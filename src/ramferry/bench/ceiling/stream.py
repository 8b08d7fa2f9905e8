"""The bytes of a migration as a source QEMU sends them, ready before it begins.

One round without pages, one with all of them, one without at the end; each ends with a mark on main
and a SYNC on every channel.
"""

from __future__ import annotations

import os
from typing import Final

from ramferry.bench.ceiling.idle import PAYLOAD
from ramferry.bench.codecs import pieces_of
from ramferry.bench.fill import data_files
from ramferry.bench.members import members_of
from ramferry.codec import create_encoder
from ramferry.errors import UsageError
from ramferry.vocabulary import (
    METHOD_FLAGS,
    OFF,
    OPEN_RETURN_PATH,
    PACKET_BYTES,
    PAGE_SIZE,
    SWITCHOVER_START,
)
from ramferry.wire.events import BlockEntry
from ramferry.wire.grammar import SectionType
from ramferry.wire.packets import SYNC, Initial, ram_header
from ramferry.wire.writer import command, ram_start, round_end, section, stream_end, stream_start

_MACHINE: Final = "pc-q35-10.0"
_RAM_SECTION: Final = 2
_BLOCK: Final = BlockEntry("pc.ram", 1 << 30, PAGE_SIZE)
_UUID: Final = bytes(16)


def main_opening() -> bytes:
    """Main up to the mark that ends ram's START."""
    start = stream_start(_MACHINE) + command(OPEN_RETURN_PATH)
    return start + ram_start(_RAM_SECTION, [_BLOCK]) + _end_of_round()


def main_rest() -> bytes:
    """Main behind that: the round with the pages, the last one, and the end."""
    part = section(SectionType.PART, _RAM_SECTION) + _end_of_round()
    end = section(SectionType.END, _RAM_SECTION) + _end_of_round()
    return part + command(SWITCHOVER_START) + end + stream_end(b'{"devices": []}')


def _end_of_round() -> bytes:
    return b"".join(round_end(_RAM_SECTION, "round"))


def channel_opening(channel: int) -> bytes:
    """A channel's initial packet, and the SYNC of ram's START."""
    return Initial(_UUID, channel).encode() + sync()


REPEATABLE: Final = tuple(name for name in METHOD_FLAGS if name != "zlib")
"""Methods whose packets are complete in themselves at their default level, so that the same one may
come again."""


def packet(method: str, *, own_codecs: bool) -> tuple[bytes, bytes]:
    """Header and payload of a full packet.

    :param own_codecs: whether the payload is compressed pages, those that ``RAMFERRY_DATA`` names
        or generated ones; else it is filler for the idle codecs.
    :raise UsageError: a method whose packets hang together is to be compressed.
    """
    payload = _compressed(method) if own_codecs else b"\xa5" * payload_size(method)
    header = ram_header(
        flags=METHOD_FLAGS[method],
        block=_BLOCK.name,
        normal=range(0, PACKET_BYTES, PAGE_SIZE),
        payload_size=len(payload),
    )
    return bytes(header), payload


def check_repeatable(method: str) -> None:
    """:raise UsageError: a packet of the method, compressed, cannot come again and again."""
    if method not in REPEATABLE:
        raise UsageError(
            f"a packet of {method} goes on from the one before and cannot come again and again: "
            f"one of {', '.join(REPEATABLE)} can"
        )


def _compressed(method: str) -> bytes:
    check_repeatable(method)
    pages = pieces_of(4 * PACKET_BYTES, data_files(os.environ.get("RAMFERRY_DATA", "")))[0]
    encoder = create_encoder(method, None, accelerator=OFF, member_size=members_of(method))
    return b"".join(encoder.encode(pages))


def payload_size(method: str) -> int:
    """Bytes of a full packet's payload by the idle codecs."""
    return PACKET_BYTES if method == "none" else PAYLOAD


def channel_end() -> bytes:
    """The SYNCs of the two last rounds."""
    return sync() * 2


def sync() -> bytes:
    """A packet without pages that ends a round."""
    return bytes(ram_header(flags=SYNC))
