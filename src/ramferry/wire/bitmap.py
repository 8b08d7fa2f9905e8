"""Bodies of dirty-bitmap sections: passed over record by record, to find where they end."""

from __future__ import annotations

from typing import Final

from ramferry.wire.grammar import MAX_BITMAP_CHUNK, BitmapFlag
from ramferry.wire.source import ByteSource, Parse

_NAMES: Final = BitmapFlag.NODE_NAME | BitmapFlag.BITMAP_NAME
_RECORDS: Final = frozenset(
    {
        BitmapFlag.START,
        BitmapFlag.COMPLETE,
        BitmapFlag.BITS,
        BitmapFlag.BITS | BitmapFlag.ZEROES,
    }
)
_START_SIZE: Final = 4 + 1
"""Granularity and flags."""
_RANGE_SIZE: Final = 8 + 4
"""First sector and number of sectors."""


def skip_bitmap_body(source: ByteSource) -> Parse[None]:
    """Pass over one section's body, its EOS included.

    :raise RemoteProtocolError: an unknown record, or a chunk above ``MAX_BITMAP_CHUNK``.
    """
    while True:
        flags = yield from source.uint(1)
        if flags == BitmapFlag.EOS:
            return
        record = flags & ~_NAMES
        if record not in _RECORDS:
            source.fail("a dirty-bitmap record", f"flags {flags:#04x}")
        if flags & BitmapFlag.NODE_NAME:
            yield from source.text("node name")
        if flags & BitmapFlag.BITMAP_NAME:
            yield from source.text("bitmap name")
        yield from _skip_record(source, record)


def _skip_record(source: ByteSource, record: int) -> Parse[None]:
    if record == BitmapFlag.START:
        yield from source.skip(_START_SIZE)
    elif record & BitmapFlag.BITS:
        yield from source.skip(_RANGE_SIZE)
        if not record & BitmapFlag.ZEROES:
            size = yield from source.uint(8)
            if size > MAX_BITMAP_CHUNK:
                source.fail(f"at most {MAX_BITMAP_CHUNK} bytes of a dirty bitmap", str(size))
            yield from source.skip(size)
