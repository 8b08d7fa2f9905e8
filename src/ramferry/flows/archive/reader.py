"""A save file, read: everything but the pages checked when it is opened, those as they are read."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ramferry.codec import name_backends
from ramferry.codec.base import MAX_PAYLOAD, PACKET_BYTES
from ramferry.codec.zstd_frame import raw_frame
from ramferry.errors import CorruptDataError, HostError, UsageError
from ramferry.flows.archive.coder import FRAMES, ChunkDecoder
from ramferry.flows.archive.format import (
    CHUNK,
    FOOTER_SIZE,
    OPENING,
    VERSION,
    Directory,
    Part,
    crc32,
    unpack_directory,
    unpack_footer,
    unpack_numbers,
)
from ramferry.flows.pages import MainStream, Offsets, Pages

_PARTS: Final = ("head", "between", "tail", "chunks", "pages", "newest", "zero")
_NONE: Final = np.empty(0, np.uint64)
_NOTHING: Final = memoryview(b"")


class Archive:
    """An open save file; a context manager."""

    def __init__(self, path: Path) -> None:
        """Open it, and check everything but the pages.

        :raise UsageError: it is no save file.
        :raise HostError: it cannot be read.
        :raise CorruptDataError: it was cut or damaged.
        """
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.size = os.fstat(self._fd).st_size
        except OSError as error:
            raise HostError(f"cannot read {path}: {error.strerror}") from error
        self._local = threading.local()
        self._decoders: list[ChunkDecoder] = []
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        opening = self._read(0, len(OPENING))
        if opening != OPENING:
            if opening[:8] == OPENING[:8]:
                raise CorruptDataError(f"a save file of version {VERSION}", opening[8:].hex())
            raise UsageError(f"{self.path} is no file of ramferry save")
        if self.size < len(OPENING) + FOOTER_SIZE:
            raise CorruptDataError("a save file's footer", f"{self.size} bytes")
        footer = self._read(self.size - FOOTER_SIZE, FOOTER_SIZE)
        self.directory: Directory = unpack_directory(
            self._part("directory", unpack_footer(footer, self.size))
        )
        raw = {name: self._part(name, self._place(name)) for name in _PARTS}
        self.stream = MainStream(
            raw["head"], self.directory.ram_section, raw["between"], raw["tail"]
        )
        self.chunks = _table(raw["chunks"], CHUNK)
        self._first = np.concatenate([[0], np.cumsum(self.chunks["pages"], dtype=np.int64)])
        self._numbers = unpack_numbers(raw["pages"], int(self._first[-1]))
        self._newest = _bits(raw["newest"], int(self._first[-1]))
        self._zero = raw["zero"]
        self._check_index()

    def _place(self, name: str) -> Part:
        part = self.directory.parts.get(name)
        if part is None or not 0 <= part.offset <= part.offset + part.size <= self.size:
            raise CorruptDataError(f"a part {name!r} inside the file", str(part))
        return part

    def _check_index(self) -> None:
        """What the sizes promise, before anything is read by it."""
        page, chunks = self.directory.page_size, self.chunks
        if not len(chunks):
            return
        limits = np.array([block.size // page for block in self.directory.blocks])
        whole = chunks["offset"].astype(np.uint64) + chunks["size"] <= self.size
        fits = (chunks["size"] <= MAX_PAYLOAD) & (chunks["pages"] * page <= PACKET_BYTES)
        known = (chunks["block"] < len(limits)) & (chunks["pages"] > 0)
        if not (whole & fits & known).all():
            raise CorruptDataError("chunks inside the file and its blocks", "others")
        if (self._numbers >= np.repeat(limits[chunks["block"]], chunks["pages"])).any():
            raise CorruptDataError("pages inside their blocks", "others")

    def framed_for(self, methods: Collection[str]) -> bool:
        """Whether a QEMU with these methods inflates the chunks itself.

        2 GiB of Silesia data take 4.9 s of CPU at both ends so, and 5.5 s where they are inflated
        here and sent as pages (QEMU 10.0, 2 cores; ``exec:zstd -dc``: 8.0 s).
        """
        return self.directory.method == FRAMES and FRAMES in methods

    @property
    def backend(self) -> str:
        """What inflated so far; empty where nothing was inflated here."""
        return name_backends([one.decoder for one in self._decoders])

    @property
    def live(self) -> int:
        """Pages with content."""
        return int(np.count_nonzero(self._newest))

    def superseded(self, block: int) -> int:
        """Pages of a block that a later round sent again."""
        of_block = np.repeat(self.chunks["block"] == block, self.chunks["pages"])
        return int(np.count_nonzero(of_block & (self._newest == 0)))

    def zero_pages(self, block: int) -> Offsets:
        """Offsets of a block's zero pages."""
        page = self.directory.page_size
        sizes = [-(-(one.size // page) // 8) for one in self.directory.blocks]
        raw = self._zero[sum(sizes[:block]) :][: sizes[block]]
        bits = _bits(raw, self.directory.blocks[block].size // page)
        return np.flatnonzero(bits).astype(np.uint64) * np.uint64(page)

    def batches(self, *, framed: bool = False) -> list[StoredBatch]:
        """All chunks with a page that has no newer copy.

        :param framed: give their pages as payloads of method zstd, which this file's are.
        """
        if not len(self.chunks):
            return []
        found = np.logical_or.reduceat(self._newest, self._first[:-1])
        return [StoredBatch(self, int(index), framed) for index in np.flatnonzero(found)]

    def pages(self, index: int, buffer: memoryview, *, framed: bool) -> Pages:
        """Read and check one chunk; its newest pages, inflated into ``buffer``.

        :param framed: as zstd payloads: the chunk as it is, not inflated here, where all its pages
            are the newest, else those that are as a frame of uncompressed blocks.
        :raise CorruptDataError: it is damaged; the error names the block and the first page.
        """
        row = self.chunks[index]
        block = self.directory.blocks[int(row["block"])].name
        place = slice(int(self._first[index]), int(self._first[index + 1]))
        offsets = self._numbers[place].astype(np.uint64) * np.uint64(self.directory.page_size)
        newest = self._newest[place].astype(bool)
        payload = self._payload(row, block, int(offsets[0]))
        if framed and newest.all():
            return Pages(block, offsets, _NONE, _NOTHING, (payload,))
        out = buffer[: len(offsets) * self.directory.page_size]
        self._inflate(payload, out, block, int(offsets[0]))
        if not newest.all():
            matrix = np.frombuffer(out, np.uint8).reshape(len(offsets), -1)
            kept = matrix[newest]
            matrix[: len(kept)] = kept
            offsets, out = offsets[newest], out[: kept.size]
        if framed:
            return Pages(block, offsets, _NONE, _NOTHING, raw_frame(out))
        return Pages(block, offsets, _NONE, out)

    def _inflate(self, payload: memoryview, out: memoryview, block: str, offset: int) -> None:
        decoder = getattr(self._local, "decoder", None)
        if decoder is None:
            decoder = ChunkDecoder(self.directory.method, self.directory.page_size)
            self._local.decoder = decoder
            self._decoders.append(decoder)
        try:
            decoder.decode(payload, out)
        except CorruptDataError as error:
            raise error.at(f"block {block!r} at {offset:#x}") from None

    def _payload(self, row: np.void, block: str, offset: int) -> memoryview:
        raw = self._read(int(row["offset"]), int(row["size"]))
        if crc32(raw) != int(row["crc"]):
            raise CorruptDataError(
                f"CRC {int(row['crc']):08x} of the chunk at byte {int(row['offset'])}",
                f"{crc32(raw):08x}: the file is damaged",
            ).at(f"block {block!r} at {offset:#x}")
        return memoryview(raw)

    def _part(self, name: str, part: Part) -> bytes:
        raw = self._read(part.offset, part.size)
        if len(raw) != part.size or crc32(raw) != part.crc:
            raise CorruptDataError(f"the file's part {name!r}", "damaged bytes")
        return raw

    def _read(self, offset: int, size: int) -> bytes:
        pieces = []
        try:
            while size and (piece := os.pread(self._fd, size, offset)):
                pieces.append(piece)
                offset += len(piece)
                size -= len(piece)
        except OSError as error:
            raise HostError(f"cannot read {self.path}: {error.strerror}") from error
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class StoredBatch:
    """One chunk of an archive; a :class:`~ramferry.flows.pages.Batch`."""

    def __init__(self, archive: Archive, index: int, framed: bool) -> None:
        self._archive = archive
        self._index = index
        self._framed = framed

    def load(self, buffer: memoryview) -> Pages:
        """See :meth:`~ramferry.flows.pages.Batch.load`."""
        return self._archive.pages(self._index, buffer, framed=self._framed)


def _table(raw: bytes, dtype: np.dtype) -> NDArray:  # type: ignore[type-arg]
    if len(raw) % dtype.itemsize:
        raise CorruptDataError(f"rows of {dtype.itemsize} bytes", f"{len(raw)} bytes")
    return np.frombuffer(raw, dtype)


def _bits(raw: bytes, count: int) -> NDArray[np.uint8]:
    if len(raw) != -(-count // 8):
        raise CorruptDataError(f"{count} bits", f"{len(raw)} bytes")
    return np.unpackbits(np.frombuffer(raw, np.uint8), count=count)
