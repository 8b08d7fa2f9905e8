"""Ours against every other implementation at hand, both directions, all levels and sizes."""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from collections.abc import Callable

import deflate
import pytest
from isal import igzip, igzip_lib, isal_zlib

from ramferry.qatzip import LEVELS, Session, compress, decompress

NOISE = random.Random(2).randbytes(40_000)
MIXED = b"".join(b"%08x:" % number + NOISE[number : number + 7] for number in range(36_000))
SIZES = [0, 1, 63, 64, 4096, 65535, 65536, 65537, 524288]
INPUTS = {f"mixed {size}": MIXED[:size] for size in SIZES} | {
    "noise": NOISE,
    "zeros": bytes(200_000),
}

Coder = Callable[[bytes], bytes]


def _stdlib(bits: int) -> tuple[Coder, Coder]:
    def inflate(raw: bytes) -> bytes:
        engine = zlib.decompressobj(bits)
        data = engine.decompress(raw) + engine.flush()
        assert engine.eof
        assert not engine.unused_data
        return data

    return (lambda data: zlib.compress(data, 6, bits)), inflate


def _libdeflate_4b(data: bytes) -> bytes:
    body = bytes(deflate.deflate_compress(data, 5))
    return struct.pack("<I", len(body)) + body


def _stdlib_4b(raw: bytes) -> bytes:
    out, at = b"", 0
    while at < len(raw):
        (size,) = struct.unpack_from("<I", raw, at)
        out += _stdlib(-15)[1](raw[at + 4 : at + 4 + size])
        at += 4 + size
    return out


OTHERS: dict[str, tuple[str, Coder, Coder]] = {
    "gzip": ("gzip-ext", gzip.compress, gzip.decompress),
    "gzip, plain": ("gzip", gzip.compress, gzip.decompress),
    "isal": ("gzip-ext", igzip.compress, igzip.decompress),
    "zlib": ("zlib", *_stdlib(15)),
    "isal zlib": ("zlib", isal_zlib.compress, isal_zlib.decompress),
    "libdeflate": ("zlib", lambda data: bytes(deflate.zlib_compress(data)), _stdlib(15)[1]),
    "raw": ("raw", *_stdlib(-15)),
    "isal raw": ("raw", igzip_lib.compress, igzip_lib.decompress),
    "4B": ("4B", _libdeflate_4b, _stdlib_4b),
}


@pytest.mark.parametrize("data", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize(("format", "write", "read"), OTHERS.values(), ids=OTHERS)
def test_others_read_ours_and_we_read_theirs(
    format: str, write: Coder, read: Coder, data: bytes
) -> None:
    for level in (1, 3, 6) if len(data) > 70_000 else LEVELS:
        assert read(bytes(compress(data, level, format=format).data)) == data
    raw = write(data)
    assert decompress(raw, format=format).data == data
    out = bytearray(len(data))
    Session(format=format).decompress_into(memoryview(raw), memoryview(out))
    assert out == data
