"""Reads a save file. Everything but the pages is checked when it is opened, pages as they are
read."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ramferry.codec import name_backends
from ramferry.codec.base import MAX_PAYLOAD
from ramferry.codec.zstd_frame import raw_frame
from ramferry.errors import CorruptDataError, UsageError, unreadable
from ramferry.flows.archive.claims import check_coverage, check_stream
from ramferry.flows.archive.coder import FRAMES, ChunkDecoder
from ramferry.flows.archive.format import (
    FOOTER_SIZE,
    OPENING,
    PARTS,
    VERSION,
    Directory,
    Part,
    crc32,
    unpack_directory,
    unpack_footer,
)
from ramferry.flows.archive.index import Index
from ramferry.flows.contracts import MainStream, Offsets, Pages

_NONE: Final = np.empty(0, np.uint64)
_NOTHING: Final = memoryview(b"")


def directory_of(path: Path) -> Directory | None:
    """The directory of a damaged file; None if the directory is damaged as well, or was cut off.

    :raise HostError: the file cannot be read.
    """
    with _File(path) as file:
        try:
            return file.read_directory()[1]
        except (CorruptDataError, UsageError):
            return None


class _File:
    """A file whose parts are read and checked; a context manager."""

    def __init__(self, path: Path) -> None:
        """:raise HostError: it cannot be read."""
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.size = os.fstat(self._fd).st_size
        except OSError as error:
            raise unreadable(path, error) from error

    def read_directory(self) -> tuple[Part, Directory]:
        """Where the directory is, and what it says.

        :raise UsageError: this is no save file.
        :raise CorruptDataError: the file was cut, or its end is damaged.
        """
        opening = self._read(0, len(OPENING))
        if opening != OPENING:
            if opening[:8] == OPENING[:8]:
                raise CorruptDataError(f"a save file of version {VERSION}", opening[8:].hex())
            raise UsageError(f"{self.path} is no file of ramferry save")
        if self.size < len(OPENING) + FOOTER_SIZE:
            raise CorruptDataError("a save file's footer", f"{self.size} bytes")
        footer = self._read(self.size - FOOTER_SIZE, FOOTER_SIZE)
        place = unpack_footer(footer, self.size)
        return place, unpack_directory(self._part("directory", place))

    def _part(self, name: str, part: Part) -> bytes:
        raw = self._read(part.offset, part.size)
        if len(raw) != part.size or crc32(raw) != part.crc:
            raise CorruptDataError(f"the file's part {name!r}", "damaged bytes")
        return raw

    def _read(self, offset: int, size: int) -> bytes:
        buffer = memoryview(bytearray(size))
        return bytes(buffer[: self._read_into(buffer, offset)])

    def _read_into(self, buffer: memoryview, offset: int) -> int:
        """Read into ``buffer``; the number of bytes, fewer than it holds at the file's end."""
        count = 0
        try:
            while left := buffer[count:]:
                piece = os.preadv(self._fd, [left], offset + count)
                if not piece:
                    break
                count += piece
        except OSError as error:
            raise unreadable(self.path, error) from error
        return count

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Archive(_File):
    """An open save file; a context manager."""

    def __init__(self, path: Path, *, partial: bool = False) -> None:
        """Open it, and check everything but the pages.

        :param partial: also open a file that lacks pages of the guest; see ``faults``.
        :raise UsageError: it is no save file.
        :raise HostError: it cannot be read.
        :raise CorruptDataError: it was cut or damaged, or pages are missing.
        """
        super().__init__(path)
        self._local = threading.local()
        self._workspaces: list[_Workspace] = []
        try:
            self._open(partial)
        except BaseException:
            self.close()
            raise

    def _open(self, partial: bool) -> None:
        place, self.directory = self.read_directory()
        raw = {name: self._part(name, self._place(name)) for name in PARTS}
        self.stream = MainStream(
            raw["head"], self.directory.ram_section, raw["between"], raw["tail"]
        )
        check_stream(self.directory, self.stream)
        self._index = Index(self.directory, raw)
        parts = [(part.offset, part.size) for part in self.directory.parts.values()]
        own = [(0, len(OPENING)), (place.offset, place.size + FOOTER_SIZE)]
        self._index.check_extents(parts + own, self.size)
        if not partial and (faults := self.faults()):
            raise faults[0]

    def _place(self, name: str) -> Part:
        part = self.directory.parts[name]
        if part.offset + part.size > self.size:
            raise CorruptDataError(f"a part {name!r} inside the file", str(part))
        return part

    def faults(self) -> list[CorruptDataError]:
        """An error for each RAM block of which the file lacks pages."""
        return check_coverage(self.directory, self.stream, self._index.missing)

    def require_codec(self) -> None:
        """See that this host can inflate the file's method, before anything depends on it.

        :raise HostError: the method's library is not here.
        """
        self._workspace()

    def framed_for(self, methods: Collection[str]) -> bool:
        """Whether a QEMU with these methods inflates the chunks itself.

        2 GiB of Silesia data then take 4.9 s of CPU at both ends, and 5.5 s if they are inflated
        here and sent as pages (QEMU 10.0, 2 cores; ``exec:zstd -dc``: 8.0 s).
        """
        return self.directory.method == FRAMES and FRAMES in methods

    @property
    def backend(self) -> str:
        """What inflated so far; empty if nothing was inflated here."""
        return name_backends([one.chunks.decoder for one in self._workspaces if one.inflated])

    @property
    def chunks(self) -> NDArray:  # type: ignore[type-arg]
        """The chunk table: rows of ``CHUNK``."""
        return self._index.chunks

    @property
    def live(self) -> int:
        """Pages with content."""
        return self._index.live

    def superseded(self, block: int) -> int:
        """Pages of a block that a later round sent again."""
        return self._index.superseded(block)

    def zero_pages(self, block: int) -> Offsets:
        """Offsets of a block's zero pages."""
        return self._index.zero_pages(block)

    def batches(self, *, framed: bool = False) -> list[StoredBatch]:
        """All chunks with a page that has no newer copy.

        :param framed: give their pages as payloads of method zstd, which must be the file's method.
        """
        return [StoredBatch(self, index, framed) for index in self._index.wanted()]

    def pages(self, index: int, buffer: memoryview, *, framed: bool) -> Pages:
        """Read and check one chunk, and return those of its pages that have no newer copy.

        :param buffer: the caller's memory into which pages are inflated.
        :param framed: return a zstd payload: the chunk as it is if all its pages are the newest
            copies, else a frame of uncompressed blocks with those that are.
        :raise CorruptDataError: it is damaged; the error names the block and the first page.
        """
        row, workspace = self.chunks[index], self._workspace()
        block = self.directory.blocks[int(row["block"])].name
        offsets, newest = self._index.pages(index)
        place = f"block {block!r} at {int(offsets[0]):#x}"
        out = buffer[: len(offsets) * self.directory.page_size]
        payload = self._payload(row, out if workspace.verbatim else workspace.payload, place)
        if framed and newest.all():
            return Pages(block, offsets, _NONE, _NOTHING, (payload,))
        workspace.inflate(payload, out, place)
        if not newest.all():
            matrix = np.frombuffer(out, np.uint8).reshape(len(offsets), -1)
            kept = matrix[newest]
            matrix[: len(kept)] = kept
            offsets, out = offsets[newest], out[: kept.size]
        if framed:
            return Pages(block, offsets, _NONE, _NOTHING, raw_frame(out))
        return Pages(block, offsets, _NONE, out)

    def _workspace(self) -> _Workspace:
        workspace = getattr(self._local, "workspace", None)
        if workspace is None:
            workspace = self._local.workspace = _Workspace(self.directory)
            self._workspaces.append(workspace)
        return workspace

    def _payload(self, row: np.void, buffer: memoryview, place: str) -> memoryview:
        size = int(row["size"])
        if size > len(buffer):
            raise CorruptDataError(f"{len(buffer)} bytes of pages", f"{size} bytes").at(place)
        payload = buffer[:size]
        count = self._read_into(payload, int(row["offset"]))
        if (crc := crc32(payload[:count])) != int(row["crc"]):
            raise CorruptDataError(
                f"CRC {int(row['crc']):08x} of the chunk at byte {int(row['offset'])}",
                f"{crc:08x}: the file is damaged",
            ).at(place)
        return payload


class _Workspace:
    """What one thread needs to read chunks: a decoder, and memory for a chunk as it is stored."""

    def __init__(self, directory: Directory) -> None:
        self.chunks = ChunkDecoder(directory.method, directory.page_size)
        self.verbatim = self.chunks.decoder.verbatim
        """True if a chunk is its pages, so that it is read where they belong."""
        self.payload = memoryview(bytearray(MAX_PAYLOAD))
        self.inflated = False

    def inflate(self, payload: memoryview, out: memoryview, place: str) -> None:
        """Inflate a chunk into ``out``; see ``ChunkDecoder.decode``."""
        self.inflated = True
        if self.verbatim and len(payload) == len(out):
            return  # read in place
        try:
            self.chunks.decode(payload, out)
        except CorruptDataError as error:
            raise error.at(place) from None


class StoredBatch:
    """One chunk of an archive; a :class:`~ramferry.flows.contracts.Batch`."""

    def __init__(self, archive: Archive, index: int, framed: bool) -> None:
        self._archive = archive
        self._index = index
        self._framed = framed

    def load(self, buffer: memoryview) -> Pages:
        """See :meth:`~ramferry.flows.contracts.Batch.load`."""
        return self._archive.pages(self._index, buffer, framed=self._framed)
