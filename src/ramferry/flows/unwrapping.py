"""Recordings that are wrapped in gzip, zstd or libvirt's save image, or in several of them.

libvirt's image is a header of 92 bytes, XML, and the stream as it is or compressed::

    magic    16 bytes: "LibvirtQemudSave", or "LibvirtQemudPart" while it is being written
    numbers  u32 version, bytes of XML, was running, format, cookie's offset, 14 unused;
             in the byte order of the host that wrote them

Source: libvirt's src/qemu/qemu_saveimage.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import zstandard

from ramferry.codec.zstd import MAX_WINDOW
from ramferry.errors import CorruptDataError, UsageError
from ramferry.qatzip.inflate import Inflater
from ramferry.qatzip.source import Source
from ramferry.vocabulary import GZIP

CHUNK: Final = 1 << 20
"""Bytes read at once."""
_DEPTH: Final = 4
"""Most wrappings around a recording."""
_GZIP: Final = b"\x1f\x8b\x08"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_FEED: Final = 2048
"""Bytes that are given to zstd at once: 4 bytes can make up to 128 KiB."""
_OTHERS: Final = {
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x89LZO\0\r\n\x1a\n": "lzop",
    b"\x04\x22\x4d\x18": "lz4",
}
_LIBVIRT: Final = (b"LibvirtQemudSave", b"LibvirtQemudPart")
_LIBVIRT_SIZE: Final = 92
_LIBVIRT_NUMBERS: Final = "IIIII"
_LIBVIRT_VERSIONS: Final = (1, 2, 3)
_LIBVIRT_SPARSE: Final = 6
"""libvirt's number for an image that has a mapped-ram file after its header."""
_PADDING: Final = 2 << 20
"""Most zeros between libvirt's XML and a mapped-ram file."""


class Stream:
    """A stream of bytes that can be peeked at, read and skipped."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        """:param pieces: none of them empty."""
        self._pieces = pieces
        self._held = memoryview(b"")
        self.offset = 0
        """Bytes read or passed over so far."""

    def peek(self, count: int) -> bytes:
        """The next ``count`` bytes without reading them, for small counts; fewer only at the
        end."""
        while len(self._held) < count and (piece := next(self._pieces, b"")):
            self._held = memoryview(b"".join((self._held, piece)))
        return bytes(self._held[:count])

    def read(self, most: int) -> memoryview:
        """Up to ``most`` of the next bytes; empty only at the end."""
        if not self._held:
            self._held = memoryview(next(self._pieces, b""))
        data, self._held = self._held[:most], self._held[most:]
        self.offset += len(data)
        return data

    def fill(self, piece: memoryview) -> int:
        """Read into ``piece`` and return how many bytes were read; fewer than it holds only at the
        end."""
        filled = 0
        while filled < len(piece) and (data := self.read(len(piece) - filled)):
            piece[filled : filled + len(data)] = data
            filled += len(data)
        return filled

    def skip(self, count: int) -> int:
        """Skip up to ``count`` bytes; return how many there were."""
        passed = 0
        while passed < count and (data := self.read(min(count - passed, CHUNK))):
            passed += len(data)
        return passed


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """A stream, and what it was wrapped in."""

    stream: Stream
    wrapping: tuple[str, ...] = ()
    """The wrappings, outermost first: "a libvirt save image", "gzip", "zstd"."""
    fault: str = ""
    """What is wrong with the wrapping itself; empty if nothing is."""


def unwrap(file: BinaryIO) -> Unwrapped:
    """Find the recording inside its wrappings.

    :param file: open for reading; may be a pipe.
    :raise UsageError: it is compressed by something that is not supported.
    :raise CorruptDataError: a wrapping is damaged at its beginning. Later damage is raised by the
        stream's ``read``.
    """
    stream, fault = Stream(_pieces(file)), ""
    wrapping: list[str] = []
    while len(wrapping) < _DEPTH:
        first = stream.peek(16)
        if first in _LIBVIRT:
            fault = "" if first == _LIBVIRT[0] else "libvirt marks its image as incomplete"
            _pass_libvirt(stream)
            wrapping.append("a libvirt save image")
        elif first.startswith(_GZIP):
            stream = Stream(_inflated(stream))
            wrapping.append("gzip")
        elif first.startswith(_ZSTD):
            stream = Stream(_decompressed(stream))
            wrapping.append("zstd")
        else:
            break
    _refuse_others(stream, wrapping)
    return Unwrapped(stream, tuple(wrapping), fault)


def _refuse_others(stream: Stream, wrapping: list[str]) -> None:
    for magic, name in _OTHERS.items():
        if stream.peek(len(magic)) != magic:
            continue
        if wrapping:
            what, cure = f"what is in {wrapping[-1]}", ""
        else:
            what, cure = "this", f": decompress it with {name} first"
        raise UsageError(f"{what} is compressed by {name}, which is not looked through{cure}")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while data := file.read(CHUNK):
        yield data


def _inflated(stream: Stream) -> Iterator[bytes]:
    source = Source(read=lambda size: bytes(stream.read(size)))
    try:
        yield from Inflater(source, GZIP, padded=True).chunks()
    except CorruptDataError as error:
        raise error.at("gzip") from None


def _decompressed(stream: Stream) -> Iterator[bytes]:
    """Decompress frame after frame; raises an error if anything else follows."""
    context = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
    data = bytes(stream.read(_FEED))
    while data:
        frame = context.decompressobj()
        while not frame.eof:
            try:
                piece = frame.decompress(data)
            except zstandard.ZstdError as error:
                raise CorruptDataError("zstd data", f"damaged data ({error})").at("zstd") from None
            if piece:
                yield piece
            if not frame.eof and not (data := bytes(stream.read(_FEED))):
                raise CorruptDataError("the end of a zstd frame", "the end of the data").at("zstd")
        data = frame.unused_data or bytes(stream.read(_FEED))


def _pass_libvirt(stream: Stream) -> None:
    """Skip libvirt's header.

    :raise CorruptDataError: the header is not libvirt's.
    """
    header = bytearray(_LIBVIRT_SIZE)
    filled = stream.fill(memoryview(header))
    orders = [struct.unpack_from(order + _LIBVIRT_NUMBERS, header, 16) for order in "<>"]
    numbers = next((found for found in orders if found[0] in _LIBVIRT_VERSIONS), None)
    if filled < _LIBVIRT_SIZE or numbers is None:
        raise CorruptDataError("a header of a libvirt save image", header[16:20].hex())
    _, xml, _, kind, _ = numbers
    if stream.skip(xml) < xml:
        raise CorruptDataError(f"{xml} bytes of XML in a libvirt save image", "its end")
    while kind == _LIBVIRT_SPARSE and stream.offset < _PADDING and stream.peek(1) == b"\0":
        stream.skip(1)
