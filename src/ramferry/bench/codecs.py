"""The codecs alone: speed and ratio of each method and level, packet by packet as relays work.

Measured on one core, and on all cores with an encoder and a decoder for each, as channels have
them. For comparison there is QEMU's zlib: the C library, called page by page as QEMU does.
``bench.qzip`` measures the software path of the real libqatzip.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ramferry.bench.fill import fill
from ramferry.bench.members import members_of
from ramferry.codec import METHODS, create_decoder, create_encoder, member_size_of
from ramferry.errors import Cancelled, HostError
from ramferry.report.benchmark.columns import Spread, spread
from ramferry.vocabulary import AUTO, OFF, PACKET_BYTES, PAGE_SIZE

REPEATS: Final = 3
LEVELS: Final[Mapping[str, tuple[int | None, ...]]] = {
    "none": (None,),
    "zlib": (1, 2, 3, 6, 9),
    "zstd": (1, 3, 6, 9, 19),
    "qpl": (None,),
    "uadk": (None,),
    "qatzip": (1, 2, 3, 6, 9),
}
"""Levels that are measured by default: the ends and the middle of each method's range."""


@dataclass(frozen=True, slots=True)
class CodecFigures:
    """One method at one level on a number of cores. Rates are bytes of pages a second."""

    name: str
    """ "qatzip", "QEMU's zlib", "libqatzip (qzip)"."""
    level: int | None
    cores: int
    compress: Spread
    decompress: Spread
    ratio: float
    backend: str
    member_size: int | None = None
    """As in ``RelayResult``."""


Pieces = Sequence[memoryview]


class Coder(Protocol):
    """One thread's encoder and decoder, fresh for each pass."""

    @property
    def backend(self) -> str:
        """The name of the library that does the work."""

    @property
    def member_size(self) -> int | None:
        """As in ``RelayResult``."""

    def pack(self, piece: memoryview) -> bytes:
        """Compress one packet's pages."""

    def unpack(self, packed: bytes, out: memoryview) -> None:
        """Inflate one packet into ``out``, which is as long as its pages."""


def pieces_of(size: int, files: Sequence[Path]) -> list[memoryview]:
    """Packets of pages with content, from memory that is filled with files or generated data.

    :param size: bytes of memory, zero pages included.
    """
    ram: NDArray[np.uint8] = np.zeros(size, np.uint8)
    fill(ram, files=files, low=0)
    pages = ram.reshape(-1, PAGE_SIZE)
    flat = np.ascontiguousarray(pages[pages.any(axis=1)]).reshape(-1)
    return [flat[at : at + PACKET_BYTES].data for at in range(0, len(flat), PACKET_BYTES)]


def measure(
    pieces: Pieces,
    levels: Mapping[str, Sequence[int | None]],
    cores: Iterable[int],
    begun: Callable[[str], None],
    stop: threading.Event,
    member_size: str = AUTO,
) -> Iterator[CodecFigures]:
    """Measure each method and level on each number of cores, one after another.

    :param member_size: one of ``vocabulary.MEMBER_SIZES``, for ``qatzip``; see
        ``bench.members.members_of``.
    :param begun: called with a name before each.
    :raise Cancelled: ``stop`` was set.
    :raise HostError: what was inflated is not what was compressed.
    """
    for method, wanted in levels.items():
        for level in wanted:
            for count in cores:
                begun(step(method, level, count))
                members = members_of(method, member_size)
                yield _method(pieces, method, level, count, stop, members)


def step(name: str, level: int | None, cores: int) -> str:
    """What is measured, in words."""
    return f"{name if level is None else f'{name} {level}'}, {cores} core{'s' * (cores > 1)}"


def _method(
    pieces: Pieces,
    method: str,
    level: int | None,
    cores: int,
    stop: threading.Event,
    members: str,
) -> CodecFigures:
    found = METHODS[method]
    shown = None if found.levels is None else found.level(level)
    return figures(method, shown, cores, pieces, lambda: MethodCoder(method, level, members), stop)


class MethodCoder:
    """A method's encoder and decoder, as a channel of a relay has them."""

    def __init__(self, method: str, level: int | None, members: str = AUTO) -> None:
        """Always on the CPU, even if there is a device."""
        self._encoder = create_encoder(method, level, accelerator=OFF, member_size=members)
        self._decoder = create_decoder(method, accelerator=OFF)

    @property
    def backend(self) -> str:
        """The encoder's backend."""
        return self._encoder.backend

    @property
    def member_size(self) -> int | None:
        """The encoder's, if it has members."""
        return member_size_of([self._encoder])

    def pack(self, piece: memoryview) -> bytes:
        """See ``Coder``. The parts are joined, because they are valid only until the next call."""
        return b"".join(self._encoder.encode(piece))

    def unpack(self, packed: bytes, out: memoryview) -> None:
        """As ``Coder``."""
        self._decoder.decode(memoryview(packed), out)


class QemuZlib:
    """The C library as QEMU's method uses it: one stream, fed page by page, flushed per packet."""

    backend = f"zlib {zlib.ZLIB_RUNTIME_VERSION}"
    member_size = None

    def __init__(self, level: int) -> None:
        """:param level: zlib's own."""
        self._stream = zlib.compressobj(level)
        self._back = zlib.decompressobj()

    def pack(self, piece: memoryview) -> bytes:
        """As ``Coder``."""
        stream = self._stream
        parts = [
            stream.compress(piece[at : at + PAGE_SIZE]) for at in range(0, len(piece), PAGE_SIZE)
        ]
        return b"".join([*parts, stream.flush(zlib.Z_SYNC_FLUSH)])

    def unpack(self, packed: bytes, out: memoryview) -> None:
        """As ``Coder``."""
        out[:] = self._back.decompress(packed)


def zlib_of_qemu(pieces: Pieces, level: int, cores: int, stop: threading.Event) -> CodecFigures:
    """The figures of ``QemuZlib``, measured as ``measure`` does."""
    return figures("QEMU's zlib", level, cores, pieces, lambda: QemuZlib(level), stop)


def figures(
    name: str,
    level: int | None,
    cores: int,
    pieces: Pieces,
    coder: Callable[[], Coder],
    stop: threading.Event,
) -> CodecFigures:
    """Compress all pieces, then inflate all, in as many threads as cores, ``REPEATS`` times.

    :raise Cancelled: ``stop`` was set.
    :raise HostError: what was inflated is not what was compressed.
    """
    total = sum(map(len, pieces))
    shares = [pieces[index::cores] for index in range(cores)]
    compress, decompress = [], []
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(REPEATS):
            work = [_Share(coder(), share, stop) for share in shares]
            begun = time.perf_counter()
            list(pool.map(_Share.pack, work))
            middle = time.perf_counter()
            list(pool.map(_Share.unpack, work))
            decompress.append(total / (time.perf_counter() - middle))
            compress.append(total / (middle - begun))
            if not all(share.same() for share in work):
                raise HostError(f"{name} did not give back what was compressed: check this memory")
    fast, back = spread(compress), spread(decompress)
    assert fast is not None
    assert back is not None
    ratio = total / sum(share.packed_bytes for share in work)
    used = work[0].coder
    return CodecFigures(name, level, cores, fast, back, ratio, used.backend, used.member_size)


class _Share:
    """One thread's part of the pieces, and what it was compressed to and inflated to."""

    def __init__(self, coder: Coder, pieces: Pieces, stop: threading.Event) -> None:
        self.coder = coder
        self._pieces = pieces
        self._stop = stop
        self._packed: list[bytes] = []
        # touched beforehand: the first touch of a page is no codec's doing
        self._back = [np.full(len(piece), 1, np.uint8) for piece in pieces]

    @property
    def packed_bytes(self) -> int:
        return sum(map(len, self._packed))

    def pack(self) -> None:
        for piece in self._pieces:
            self._heed_stop()
            self._packed.append(self.coder.pack(piece))

    def unpack(self) -> None:
        for packed, out in zip(self._packed, self._back, strict=True):
            self._heed_stop()
            self.coder.unpack(packed, out.data)

    def same(self) -> bool:
        pairs = zip(self._pieces, self._back, strict=True)
        return all(np.array_equal(np.asarray(piece), back) for piece, back in pairs)

    def _heed_stop(self) -> None:
        if self._stop.is_set():
            raise Cancelled("interrupted between two packets")
