"""Files and pipes of any size in bounded memory: the same formats, read and written piece by piece.

gzip-ext, gzip and 4B are compressed by several threads, a batch of members at a time, and written
in order. Memory is two batches a thread, in and out: 6.2 MiB for two threads and members of 64 KiB.
raw and zlib are one stream that nothing can cut, so one thread compresses them, and libdeflate,
which needs its whole input at once, gives way to zlib at levels 4 to 9.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from isal import isal_zlib

from ramferry.allowance import busy_threads
from ramferry.errors import CorruptDataError, UsageError
from ramferry.qatzip import framing, members
from ramferry.qatzip.base import (
    GZIP_FORMATS,
    ISAL,
    MAX_SIZE,
    MEMBER_FORMATS,
    STDLIB,
    Result,
    Totals,
    check_format,
    check_level,
)
from ramferry.qatzip.inflate import Inflater
from ramferry.qatzip.members import Member
from ramferry.qatzip.session import Session
from ramferry.qatzip.software import ISAL_LEVELS
from ramferry.qatzip.source import Source
from ramferry.vocabulary import AUTO, GZIP_EXT, MEMBER_SIZE, ZLIB, Buffer

_T = TypeVar("_T")

Progress = Callable[[int, int], None]
"""Called with the bytes read and written so far, about once per BATCH of the larger side."""

BATCH = 1024 * 1024
"""Input bytes that one thread compresses at a time, rounded down to whole members, at least one."""


class Reader(Protocol):
    """A binary file open for reading, raw or buffered, that blocks."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to ``size`` bytes; none at the end."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read into ``buffer`` and return how many bytes; 0 at the end."""


class Writer(Protocol):
    """A binary file open for writing, raw or buffered, that blocks."""

    def write(self, data: Buffer, /) -> int | None:
        """Write some or all of ``data`` and return how many bytes."""


def compress(
    reader: Reader,
    writer: Writer,
    level: int = 1,
    *,
    format: str = GZIP_EXT,
    member_size: int = MEMBER_SIZE,
    threads: int = 0,
    accelerator: str = AUTO,
    progress: Progress | None = None,
) -> Totals:
    """Compress everything ``reader`` gives into ``writer``; neither is closed, nor flushed.

    :param level: 1, fastest, to 9, smallest.
    :param format: one of FORMATS.
    :param member_size: input bytes of a member; see :class:`ramferry.qatzip.Session`.
    :param threads: how many compress; 0 is as many as all the cores need that this process
        may use.
    :param accelerator: see :class:`ramferry.qatzip.Session`.
    :raise UsageError: a parameter is outside its range, or a file does not block.
    :raise MethodUnavailable: a device is required and cannot be had.
    :raise OSError: as the files raise it.
    """
    if threads < 0:
        raise UsageError(f"threads must be 0 or more, not {threads}")
    output = _Output(writer, progress)
    if check_format(format) in MEMBER_FORMATS:
        count = 2 * (threads or busy_threads())
        sessions = [
            Session(level, format=format, member_size=member_size, accelerator=accelerator)
            for _ in range(count)
        ]
        _compress_members(reader, output, sessions)
    else:
        Session(level, format=format, accelerator=accelerator)  # a device that is required is not
        _compress_stream(reader, output, check_level(level), format)
    return output.totals()


def decompress(
    reader: Reader,
    writer: Writer,
    *,
    format: str = GZIP_EXT,
    max_size: int | None = None,
    accelerator: str = AUTO,
    progress: Progress | None = None,
) -> Totals:
    """Decompress everything ``reader`` gives into ``writer``; neither is closed, nor flushed.

    What was written is good only where this returns: a member's checksum stands at its end, and
    members may be of any size.

    :param format: one of FORMATS; gzip-ext and gzip read the same, and zeros behind their last
        member, with which tapes fill their blocks, are passed over.
    :param max_size: most bytes to put out; None sets no bound, as memory does not grow with them.
    :param accelerator: see :class:`ramferry.qatzip.Session`; the CPU takes over for good where
        members come that a device does not take.
    :raise CorruptDataError: damage, truncation, trailing bytes, or more than ``max_size``.
    :raise UsageError: a parameter is unknown, or a file does not block.
    :raise MethodUnavailable: a device is required and cannot be had.
    :raise OSError: as the files raise it.
    """
    output = _Output(writer, progress)
    source = Source(read=lambda size: _blocking(reader.read(size)))
    same = GZIP_EXT if format in GZIP_FORMATS else format
    session = Session(format=same, accelerator=accelerator)
    inflater = Inflater(source, format, max_size, padded=True)
    if session.accelerated:
        for result in _on_device(source, session, max_size):
            inflater.produced += len(result.data)
            output.write(result.data, source.offset, result.backend)
    for piece in inflater.chunks():
        output.write(piece, source.offset, ISAL)
    output.write(b"", source.offset, "" if output.bytes_out else ISAL)
    return output.totals()


def _on_device(source: Source, session: Session, max_size: int | None) -> Iterator[Result]:
    """Inflate batches of whole members, as long as a device can take them.

    What the session refuses stays in ``source``, for the reader that comes next to judge.
    """
    left = MAX_SIZE if max_size is None else max_size
    while chain := _batch(source.peek(BATCH)):
        end = chain[-1].end
        try:
            result = session.decompress(source.peek(end)[:end], max_size=left)
        except CorruptDataError:
            return
        left -= 0 if max_size is None else len(result.data)
        source.member += len(chain)
        source.skip(end)
        yield result


def _batch(window: memoryview) -> list[Member]:
    """The members that ``window`` begins with, of a device's size, up to BATCH bytes of data."""
    chain: list[Member] = []
    size = 0
    for member in members.leading(window):
        size += member.src
        if member.src > MEMBER_SIZE or size > BATCH:
            break
        chain.append(member)
    return chain


class _Output:
    """Writes, counts, and reports progress."""

    def __init__(self, writer: Writer, progress: Progress | None) -> None:
        self._writer = writer
        self._progress = progress
        self._reported = 0
        self._backends: dict[str, None] = {}
        self.bytes_in = 0
        self.bytes_out = 0

    def write(self, data: Buffer, bytes_in: int, backend: str = "") -> None:
        """Write all of ``data``, which ``backend`` made of the input up to ``bytes_in``."""
        view = memoryview(data)
        while view:
            view = view[_blocking(self._writer.write(view)) :]
        self.bytes_in = bytes_in
        self.bytes_out += len(data)
        self._backends.update(dict.fromkeys(filter(None, backend.split(" + "))))
        done = max(self.bytes_in, self.bytes_out)
        if self._progress and done >= self._reported + BATCH:
            self._reported = done
            self._progress(self.bytes_in, self.bytes_out)

    def totals(self) -> Totals:
        """Report the last progress and sum up."""
        if self._progress:
            self._progress(self.bytes_in, self.bytes_out)
        return Totals(self.bytes_in, self.bytes_out, " + ".join(self._backends))


class _Slot:
    """One batch on its way: its input buffer, its session, and the work a thread does on it."""

    def __init__(self, session: Session) -> None:
        members = max(1, BATCH // session.member_size)
        self.buffer = memoryview(bytearray(members * session.member_size))
        self._session = session
        self._size = 0
        self._work: Future[Result] = Future()

    def start(self, pool: ThreadPoolExecutor, size: int) -> None:
        """Let a thread compress the first ``size`` bytes of the buffer."""
        self._size = size
        self._work = pool.submit(self._session.compress, self.buffer[:size])

    def finish(self, output: _Output) -> None:
        """Wait for the thread and write what it made."""
        result = self._work.result()
        output.write(result.data, output.bytes_in + self._size, result.backend)


def _compress_members(reader: Reader, output: _Output, sessions: list[Session]) -> None:
    """Compress batch after batch; at most one batch for each session at a time."""
    free = [_Slot(session) for session in sessions]
    busy: deque[_Slot] = deque()
    with ThreadPoolExecutor(max(1, len(sessions) // 2)) as pool:
        full = True
        while full:
            if not free:
                busy[0].finish(output)
                free.append(busy.popleft())
            slot = free.pop()
            size = _fill(reader, slot.buffer)
            full = size == len(slot.buffer)
            if size or not (busy or output.bytes_in):
                slot.start(pool, size)
                busy.append(slot)
        for slot in busy:
            slot.finish(output)


def _compress_stream(reader: Reader, output: _Output, level: int, format: str) -> None:
    """Compress everything as one deflate stream, in the calling thread."""
    isal = level in ISAL_LEVELS
    maker = isal_zlib.compressobj if isal else zlib.compressobj
    engine = maker(ISAL_LEVELS[level][0] if isal else level, zlib.DEFLATED, -zlib.MAX_WBITS)
    backend = ISAL if isal else STDLIB
    buffer = memoryview(bytearray(BATCH))
    adler, read = 1, 0
    if format == ZLIB:
        output.write(framing.ZLIB_HEAD, 0)
    while size := _fill(reader, buffer):
        read += size
        adler = isal_zlib.adler32(buffer[:size], adler) if format == ZLIB else adler
        output.write(engine.compress(buffer[:size]), read, backend)
    output.write(engine.flush(), read, backend)
    if format == ZLIB:
        output.write(framing.ZLIB_TRAILER.pack(adler), read)


def _fill(reader: Reader, buffer: memoryview) -> int:
    """Read until ``buffer`` is full or the input ends; return how many bytes it holds."""
    size = 0
    while size < len(buffer) and (got := _blocking(reader.readinto(buffer[size:]))):
        size += got
    return size


def _blocking(answer: _T | None) -> _T:
    """Return what a file answered.

    :raise UsageError: it answered None, because it is set not to block.
    """
    if answer is None:
        raise UsageError("files to compress or decompress must be blocking")
    return answer
