"""QATzip's five formats, by each of the ways that read them."""

from __future__ import annotations

import io
import random
import zlib
from functools import cache, partial
from typing import Final

from codec_samples import sample_pages
from fuzz.guarded import Guarded
from fuzz.target import Target, chance_of
from ramferry.errors import CorruptDataError
from ramferry.qatzip import Session, compress, decompress, members, stream
from ramferry.vocabulary import FORMATS, FOUR_BYTE, GZIP, GZIP_EXT, RAW, ZLIB

_MOST: Final = 256 * 1024
_into: Final = Guarded(_MOST + 1)
_from: Final = Guarded(1 << 20)
_HEADS: Final = (
    "1f8b0804 00000000 00ff 0c00 515a 0800 01000000 03000000 730400 8b9ed9d3 01000000",
    "1f8b081f 00000000 0003 0c00 515a 0800 01000000 03000000 610062 00",
    "1f8b0808 00000000 0003 6100 730400 8b9ed9d3 01000000 00000000",
    "789c 730400 00420042",
    "03000000 730400",
    "0300",
)


def samples(format: str) -> list[bytes]:
    """Data of the house's own writer at several levels and member sizes, and literal bytes."""
    text = sample_pages(3, 700)
    made = [
        compress(data, level, format=format, member_size=size).data
        for level in (1, 3, 9)
        for data, size in ((b"", 65536), (b"A", 1), (text, 65536), (text, 500))
    ]
    return [bytes(one) for one in made] + [bytes.fromhex(raw) for raw in _HEADS]


class _Dribble(io.RawIOBase):
    """A file that gives a few bytes at a time."""

    def __init__(self, data: bytes, chance: random.Random) -> None:
        self._file, self._chance = io.BytesIO(data), chance

    def read(self, size: int = -1) -> bytes:
        return self._file.read(min(size, self._chance.choice((1, 2, 7, 64, 4096))))


def check(format: str, data: bytes) -> bool:
    """Whole, in pieces and into memory: all ways say the same, and what zlib says too."""
    chance = chance_of(data)
    most = chance.choice((0, 1, 700, 2099))
    capped = _whole(format, data, most)
    assert capped == _streamed(format, data, most, chance), "a file that is read in another way"
    whole = _whole(format, data, _MOST)
    assert whole == _streamed(format, data, _MOST, chance), "a file that is read in another way"
    assert capped == (whole if whole is not None and len(whole) <= most else None), "another cap"
    filled = _filled(format, data, chance.choice((0, 1, 700)) if whole is None else len(whole))
    padded = format in (GZIP, GZIP_EXT) and data.endswith(b"\0")
    # zeros may end a file, but not a packet
    assert filled == whole or (padded and filled is None), "memory that is filled otherwise"
    if whole is None:
        return False
    assert _reference(format, data) in (whole, None), "other bytes than zlib reads"
    again = compress(
        whole, chance.randint(1, 9), format=format, member_size=chance.choice((1000, 65536))
    )
    assert decompress(again.data, format=format, max_size=_MOST).data == whole
    return True


def _whole(format: str, data: bytes, most: int) -> bytes | None:
    try:
        return bytes(decompress(_from.holding(data), format=format, max_size=most).data)
    except CorruptDataError:
        return None


def _streamed(format: str, data: bytes, most: int, chance: random.Random) -> bytes | None:
    out = io.BytesIO()
    try:
        totals = stream.decompress(_Dribble(data, chance), out, format=format, max_size=most)
    except CorruptDataError:
        return None
    assert totals.bytes_out == len(out.getvalue()) <= most
    return out.getvalue()


def _filled(format: str, data: bytes, size: int) -> bytes | None:
    held, out = _from.holding(data), _into.buffer(size)
    try:
        Session(format=format).decompress_into(held, out)
    except CorruptDataError:
        return None
    finally:
        _into.check(size)
        assert held == data, "a reader that writes into its data"
    return bytes(out)


def _reference(format: str, data: bytes) -> bytes | None:
    """What the standard library's zlib makes of data that was accepted; None if it refuses it, as a
    table of codes that is not complete, which ISA-L takes."""
    try:
        return _inflated(format, data)
    except zlib.error:
        return None


def _inflated(format: str, data: bytes) -> bytes:
    wbits = {GZIP: 31, GZIP_EXT: 31, RAW: -15, FOUR_BYTE: -15, ZLIB: 15}[format]
    out, streams = b"", 0
    while data or (not streams and format in (RAW, ZLIB)):
        if format in (GZIP, GZIP_EXT) and not data.strip(b"\0"):
            break
        size = int.from_bytes(data[:4], "little")
        block = data[4 : 4 + size] if format == FOUR_BYTE else data
        engine = zlib.decompressobj(wbits)
        out += engine.decompress(block)
        assert engine.eof
        data = data[4 + size :] if format == FOUR_BYTE else engine.unused_data
        streams += 1
    assert format != RAW or streams == 1
    return out


def check_members(data: bytes) -> bool:
    """The chain of members that a device is given: one behind the other, inside the data."""
    chain, whole = members.leading(memoryview(data)), members.walk(memoryview(data))
    end = 0
    for member in chain:
        assert member.start == end
        assert end < member.end <= len(data)
        end = member.end
    assert (whole is not None) == (end == len(data))
    members.hold(chain, memoryview(data))
    return bool(whole)


@cache
def targets() -> list[Target]:
    """One for each format, and one for the members that are found by their lengths."""
    tokens = (b"\x1f\x8b\x08\x04", b"QZ\x08\x00", b"\x78\x9c", b"\x03\x00", b"\x01\x00\x00\xff\xff")
    found = [
        Target(f"qatzip-{format}", partial(check, format), partial(samples, format), tokens)
        for format in FORMATS
    ]
    return [*found, Target("qatzip-members", check_members, partial(samples, GZIP_EXT), tokens)]
