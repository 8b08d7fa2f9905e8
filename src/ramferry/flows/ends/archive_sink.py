"""The archive's end of a receiver: pages compressed by many threads into one file."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ramferry.codec import name_backends
from ramferry.errors import HostError, MigrationFailed, RamferryError, RemoteProtocolError
from ramferry.flows.archive.coder import ChunkEncoder
from ramferry.flows.archive.format import (
    CHUNK,
    OPENING,
    PAGE_NUMBER,
    Block,
    Directory,
    Part,
    crc32,
    pack_directory,
    pack_footer,
    pack_numbers,
)
from ramferry.flows.archive.writeback import Writeback
from ramferry.flows.contracts import MainStream, Offsets, Pages, StreamHead
from ramferry.transport.safefile import SafeFile
from ramferry.vocabulary import PAGE_SIZE, Buffer

_ZERO: Final = 0xFFFFFFFF


class ArchiveSink:
    """Writes a save file; a :class:`~ramferry.flows.contracts.Sink`.

    If a later round sends a page again, the older copy stays in the file, and the index marks it
    so.
    """

    def __init__(
        self,
        file: SafeFile,
        method: str,
        level: int | None,
        *,
        may_leave_out: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """
        :param file: entered by the caller, who has to leave it after the migration has ended.
        :param may_leave_out: whether the source may leave out pages of the block of this name;
            those are taken for zero, since nobody uses them.
        :raise UsageError: there is no such method, or it has no such level.
        """
        ChunkEncoder(method, level, PAGE_SIZE)
        self._file = file
        self._writeback = Writeback(file)
        self._method = method
        self._level = level
        self._may_leave_out = may_leave_out
        self._lock = threading.Lock()
        self._end = 0
        self._head: StreamHead
        self._main: _Channel
        self._numbers: dict[str, int] = {}
        self._newest: list[NDArray[np.uint32]] = []
        """For each block and page, 1 + the index of the chunk with its newest copy; 0 if there is
        none."""
        self._chunks: list[tuple[int, int, int, int, int]] = []
        self._pages: list[NDArray[np.uint32]] = []
        self._encoders: list[ChunkEncoder] = []
        self._complete = False
        """True once the index is being written: a page that came now would not be in it."""
        self._write([OPENING])

    @property
    def size(self) -> int:
        """Bytes of the file so far."""
        return self._end

    def begin(self, head: StreamHead) -> None:
        """Allocate the index: four bytes a page."""
        self._head = head
        for number, block in enumerate(head.blocks):
            self._numbers[block.name] = number
            self._newest.append(np.zeros(block.used_length // head.page_size, np.uint32))
        self._main = self._channel()

    def channel(self, channel_id: int) -> _Channel:  # noqa: ARG002
        """An encoder of its own for each channel."""
        return self._channel()

    def main_pages(self, pages: Pages) -> None:
        """Take pages from main, which are zero pages as a rule."""
        self._main.pages(pages)

    def _channel(self) -> _Channel:
        encoder = ChunkEncoder(self._method, self._level, self._head.page_size)
        with self._lock:
            self._encoders.append(encoder)
        return _Channel(self, encoder)

    def mark(self, index: int) -> None:
        """Nothing to do: chunks are stored in the order of the rounds."""

    def store(self, pages: Pages, payload: list[Buffer]) -> None:
        """Write a chunk and note its pages; called by many threads."""
        numbers = (pages.normal // np.uint64(self._head.page_size)).astype(PAGE_NUMBER)
        crc = 0
        for piece in payload:
            crc = crc32(piece, crc)
        size = sum(map(len, payload))
        with self._lock:
            self._refuse_if_complete()
            offset, self._end = self._end, self._end + size
            block = self._numbers[pages.block]
            self._chunks.append((offset, size, crc, block, len(numbers)))
            self._pages.append(numbers)
            self._newest[block][numbers] = len(self._chunks)
        self._write_at(payload, offset)
        self._writeback.grown(offset + size)

    def store_zero(self, pages: Pages) -> None:
        """Note zero pages."""
        numbers = (pages.zero // np.uint64(self._head.page_size)).astype(PAGE_NUMBER)
        with self._lock:
            self._refuse_if_complete()
            self._newest[self._numbers[pages.block]][numbers] = _ZERO

    def finish(self, stream: MainStream) -> None:
        """Write the index and the directory, and bring the file to disk.

        :raise MigrationFailed: the source left pages out.
        :raise HostError: the disk is full.
        """
        with self._lock:
            self._complete = True
        self._refuse_holes()
        parts = {
            "head": self._part(stream.head),
            "between": self._part(stream.between),
            "tail": self._part(stream.tail),
            "chunks": self._part(np.array(self._chunks, CHUNK).tobytes()),
            "pages": self._part(pack_numbers(self._pages)),
            "newest": self._part(self._newest_copies()),
            "zero": self._part(self._zero_pages()),
        }
        directory = pack_directory(self._directory(stream, parts))
        offset = self._end
        self._write([directory, pack_footer(offset, directory)])
        self._file.bring_to_disk()

    def commit(self) -> None:
        """Give the file its name.

        :raise UsageError: another file has it by now.
        :raise HostError: the folder may not be written.
        """
        self._file.give_name()

    def taken_over(self) -> None:
        """Nothing to do: the file is complete already."""

    def abort(self, error: RamferryError) -> None:
        """Nothing to do: the file has no name, and its owner discards it."""

    def _refuse_if_complete(self) -> None:
        """:raise RemoteProtocolError: a channel brings pages after main's end."""
        if self._complete:
            raise RemoteProtocolError("no page after the end of the stream", "a page")

    def _refuse_holes(self) -> None:
        """Check that every page of every block came.

        Missing pages of blocks that may lack some become zero pages.

        :raise MigrationFailed: a page did not come; the sentence names the first such block.
        """
        for block, newest in zip(self._head.blocks, self._newest, strict=True):
            missing = newest == 0
            if not (count := int(np.count_nonzero(missing))):
                continue
            if not self._may_leave_out(block.name):
                first = int(missing.argmax()) * self._head.page_size
                raise MigrationFailed(
                    f"the QEMU left out {count} of the {len(newest)} pages of RAM block "
                    f"{block.name!r}, the first at {first:#x}"
                )
            newest[missing] = _ZERO

    def _directory(self, stream: MainStream, parts: dict[str, Part]) -> Directory:
        head = self._head
        return Directory(
            machine=head.machine,
            page_size=head.page_size,
            mode=head.mode,
            uuid=head.uuid.hex(),
            method=self._method,
            level=self._level,
            backend=self.backend,
            created=time.time(),
            ram_section=stream.ram_section,
            blocks=tuple(Block(block.name, block.used_length) for block in head.blocks),
            parts=parts,
        )

    @property
    def backend(self) -> str:
        """What compressed, as in ``ArchiveResult.backend``."""
        return name_backends([one.encoder for one in self._encoders])

    def _newest_copies(self) -> bytes:
        """A bit for each page of each chunk, in their order: whether there is no newer copy."""
        chunks = np.array(self._chunks, CHUNK)
        numbers = np.concatenate([np.empty(0, PAGE_NUMBER), *self._pages])
        index = np.repeat(np.arange(1, len(chunks) + 1, dtype=np.uint32), chunks["pages"])
        block = np.repeat(chunks["block"], chunks["pages"])
        bits = np.zeros(len(numbers), np.bool_)
        for number, newest in enumerate(self._newest):
            here = block == number
            bits[here] = newest[numbers[here]] == index[here]
        return np.packbits(bits).tobytes()

    def _zero_pages(self) -> bytes:
        """A bit for each page of each block: whether it is zero."""
        return b"".join(np.packbits(newest == _ZERO).tobytes() for newest in self._newest)

    def _part(self, data: bytes) -> Part:
        offset = self._end
        self._write([data])
        return Part(offset, len(data), crc32(data))

    def _write(self, parts: list[Buffer]) -> None:
        offset, self._end = self._end, self._end + sum(map(len, parts))
        self._write_at(parts, offset)

    def _write_at(self, parts: list[Buffer], offset: int) -> None:
        left = [memoryview(part) for part in parts if len(part)]
        with self._file.using() as fd:
            try:
                while left:
                    done = os.pwritev(fd, left[:1024], offset)
                    offset += done
                    while left and done >= len(left[0]):
                        done -= len(left.pop(0))
                    if done:
                        left[0] = left[0][done:]
            except OSError as error:
                raise HostError(f"cannot write the file: {error.strerror}") from error


class _Channel:
    """Stores one channel's pages; used by one thread."""

    def __init__(self, sink: ArchiveSink, encoder: ChunkEncoder) -> None:
        self._sink = sink
        self._encoder = encoder

    def room(self, block: str, normal: Offsets) -> None:
        """None: pages for a file are compressed from the channel's own memory."""

    def pages(self, pages: Pages) -> None:
        """Compress and write the pages of one packet."""
        if len(pages.zero):
            self._sink.store_zero(pages)
        if len(pages.normal):
            self._sink.store(pages, self._encoder.encode(pages.data))
