"""Streams: the same bytes as in memory, in bounded memory, whatever the files do."""

from __future__ import annotations

import gzip
import io
import random
import tracemalloc
import zlib

import pytest

from leftovers import SETTLE, no_thread_left
from ramferry.errors import CorruptDataError, UsageError
from ramferry.qatzip import compress, decompress, stream
from ramferry.qatzip.stream import BATCH
from ramferry.vocabulary import FORMATS, MEMBER_SIZE

TEXT = b"".join(b"page %d of the guest's memory; " % number for number in range(120_000))
MEMBERS = ["gzip-ext", "gzip", "4B"]


class Trickle(io.BytesIO):
    """A pipe: it gives and takes fewer bytes than asked, never the same number."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(data)
        self._random = random.Random(len(data))

    def _some(self, size: int) -> int:
        return self._random.randint(1, max(1, min(size, 100_000)))

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._some(size or 1))

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        return super().readinto(buffer[: self._some(len(buffer))])

    def write(self, data: memoryview, /) -> int:  # type: ignore[override]
        return super().write(data[: self._some(len(data))])


class Endless:
    """A sparse file of ``size`` zero bytes, without their memory."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readinto(self, buffer: memoryview, /) -> int:
        size = min(len(buffer), self._left)
        buffer[:size] = bytes(size)
        self._left -= size
        return size

    def read(self, size: int, /) -> bytes:
        size = min(size, self._left)
        self._left -= size
        return bytes(size)


class Counter:
    """Takes everything and counts it."""

    size = 0

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        self.size += len(data)
        return len(data)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("level", [1, 6])
@pytest.mark.parametrize("size", [0, 1, BATCH - 1, BATCH, BATCH + 1, len(TEXT)])
def test_round_trip_through_pipes(format: str, level: int, size: int) -> None:
    data = TEXT[:size]
    packed, unpacked = Trickle(), Trickle()
    totals = stream.compress(Trickle(data), packed, level, format=format)
    raw = packed.getvalue()
    assert (totals.bytes_in, totals.bytes_out) == (size, len(raw))
    assert decompress(raw, format=format).data == data
    totals = stream.decompress(Trickle(raw), unpacked, format=format)
    assert (totals.bytes_in, totals.bytes_out, totals.backend) == (len(raw), size, "isa-l")
    assert unpacked.getvalue() == data


@pytest.mark.parametrize("format", MEMBERS)
@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("member_size", [50_000, MEMBER_SIZE, BATCH, BATCH + 1])
def test_members_are_those_of_one_call_in_order(
    format: str, threads: int, member_size: int
) -> None:
    packed = io.BytesIO()
    level = 4  # deterministic: ISA-L does not promise the same bytes twice
    stream.compress(
        io.BytesIO(TEXT), packed, level, format=format, member_size=member_size, threads=threads
    )
    assert packed.getvalue() == compress(TEXT, level, format=format, member_size=member_size).data


@pytest.mark.parametrize(
    ("format", "level", "backend"),
    [
        ("gzip-ext", 1, "isa-l"),
        ("gzip-ext", 4, "libdeflate"),
        ("raw", 3, "isa-l"),
        ("raw", 4, "zlib"),
        ("zlib", 9, "zlib"),
    ],
)
def test_the_backend_is_told(format: str, level: int, backend: str) -> None:
    totals = stream.compress(io.BytesIO(TEXT[:MEMBER_SIZE]), Counter(), level, format=format)
    assert totals.backend == backend


def test_every_backend_is_told() -> None:
    totals = stream.compress(io.BytesIO(TEXT[: MEMBER_SIZE + 1]), Counter(), 5)
    assert totals.backend == "libdeflate + zlib"


def test_zlib_streams_are_what_zlib_reads() -> None:
    packed = io.BytesIO()
    stream.compress(io.BytesIO(TEXT), packed, format="zlib")
    assert packed.getvalue()[:2] == b"\x78\x9c"
    assert zlib.decompress(packed.getvalue()) == TEXT


@pytest.mark.parametrize("format", FORMATS)
def test_memory_does_not_grow_with_the_input(format: str) -> None:
    """200 MiB of zeros, in one member for the reader's worst case, within 12 MiB."""
    size, packed = 200 << 20, io.BytesIO()
    tracemalloc.start()
    try:
        stream.compress(Endless(size), packed, format=format, threads=2)
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
        one = packed.getvalue()
        tracemalloc.reset_peak()
        counter = Counter()
        stream.decompress(io.BytesIO(one), counter, format=format)
        assert counter.size == size
        assert tracemalloc.get_traced_memory()[1] < 12 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", [b"", b"pages.bin"])
def test_one_huge_member_is_read_piece_by_piece(name: bytes) -> None:
    size = 200 << 20
    file = io.BytesIO()
    with gzip.GzipFile(name, "wb", 1, file) as writer:
        for _ in range(size >> 20):
            writer.write(bytes(1 << 20))
    counter = Counter()
    tracemalloc.start()
    try:
        stream.decompress(io.BytesIO(file.getvalue()), counter)
        assert counter.size == size
        assert tracemalloc.get_traced_memory()[1] < 6 << 20
    finally:
        tracemalloc.stop()


def test_progress_grows_to_the_totals() -> None:
    seen: list[tuple[int, int]] = []
    packed = io.BytesIO()
    totals = stream.compress(io.BytesIO(TEXT), packed, progress=lambda *counts: seen.append(counts))
    assert seen == sorted(seen)
    assert seen[-1] == (totals.bytes_in, totals.bytes_out) == (len(TEXT), len(packed.getvalue()))
    assert len(seen) >= len(TEXT) // BATCH
    seen.clear()
    stream.decompress(
        io.BytesIO(packed.getvalue()), Counter(), progress=lambda *counts: seen.append(counts)
    )
    assert seen == sorted(seen)
    assert len(TEXT) // BATCH <= len(seen) <= len(TEXT) // BATCH + 2
    assert seen[-1] == (len(packed.getvalue()), len(TEXT))


def test_damage_and_trailing_bytes_are_placed_in_the_whole_stream() -> None:
    raw = compress(TEXT).data
    members = -(-len(TEXT) // MEMBER_SIZE)
    with pytest.raises(CorruptDataError, match=f"after member {members}, at byte {len(raw)}, rec"):
        stream.decompress(Trickle(raw + b"x"), Counter())
    with pytest.raises(CorruptDataError, match=f"the end of the data after {len(raw) - 1} bytes"):
        stream.decompress(Trickle(raw[:-1]), Counter())


@pytest.mark.parametrize("size", [1, 9, 300_000, 1_000_000])
def test_a_tapes_zeros_are_passed_over_wherever_they_are_split(size: int) -> None:
    raw = bytes(compress(TEXT[:70_000]).data) + bytes(size)
    whole, drop = Trickle(), Trickle()
    totals = stream.decompress(Trickle(raw), whole, format="gzip")
    assert (whole.getvalue(), totals.bytes_in) == (TEXT[:70_000], len(raw))
    with pytest.raises(CorruptDataError, match="trailing bytes that begin 00"):
        stream.decompress(Trickle(raw + b"x"), drop)


class OneByOne(io.BytesIO):
    """A pipe that gives a byte at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(1, size or 1))


def test_a_stream_of_single_bytes() -> None:
    raw = bytes(compress(b"A" * 99).data) + bytes(5)
    for format in ("gzip-ext", "gzip"):
        out = io.BytesIO()
        assert stream.decompress(OneByOne(raw), out, format=format).bytes_in == len(raw)
        assert out.getvalue() == b"A" * 99


def test_output_is_capped() -> None:
    counter = Counter()
    with pytest.raises(CorruptDataError, match="at most 100000 bytes to come out"):
        stream.decompress(io.BytesIO(compress(TEXT).data), counter, max_size=100_000)
    assert counter.size <= 100_000


@pytest.mark.parametrize("format", FORMATS)
def test_an_error_of_a_file_passes_and_no_thread_stays(format: str) -> None:
    class Full(Counter):
        def write(self, _data: bytes | bytearray | memoryview, /) -> int:
            raise OSError(28, "No space left on device")

    with no_thread_left(SETTLE), pytest.raises(OSError, match="No space left on device"):
        stream.compress(io.BytesIO(TEXT), Full(), format=format)


@pytest.mark.parametrize("format", ["gzip-ext", "zlib"])
def test_files_that_do_not_block(format: str) -> None:
    class Impatient(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> None:  # type: ignore[override]
            return None

        def readinto(self, _buffer: memoryview, /) -> None:  # type: ignore[override]
            return None

    for call in (stream.compress, stream.decompress):
        with pytest.raises(UsageError, match="must be blocking"):
            call(Impatient(), Counter(), format=format)


def test_parameters_outside_their_range() -> None:
    for format in ("gzip-ext", "raw"):
        with pytest.raises(UsageError, match="level must be 1 to 9, not 0"):
            stream.compress(io.BytesIO(), Counter(), 0, format=format)
    with pytest.raises(UsageError, match="format must be one of"):
        stream.compress(io.BytesIO(), Counter(), format="lz4")
    with pytest.raises(UsageError, match="format must be one of"):
        stream.decompress(io.BytesIO(), Counter(), format="lz4")
    with pytest.raises(UsageError, match="threads must be 0 or more, not -1"):
        stream.compress(io.BytesIO(), Counter(), threads=-1)
