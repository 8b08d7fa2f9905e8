"""The codecs alone: speed and ratio of each method and level, packet by packet as relays work.

On one core, and on all with an encoder and a decoder for each, as channels have them. Beside them
stand QEMU's zlib (the C library itself, page by page, as QEMU calls it) and the software path of
the real libqatzip (its own ``qzip``), where they are here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ramferry.bench.fill import fill
from ramferry.bench.qemu import peer_folders
from ramferry.codec import METHODS, create_decoder, create_encoder
from ramferry.codec.base import PACKET_BYTES
from ramferry.errors import Cancelled, HostError
from ramferry.qatzip.accelerator import OFF
from ramferry.report.measures import Spread, spread

PAGE: Final = 4096
REPEATS: Final = 3
LEVELS: Final[Mapping[str, tuple[int | None, ...]]] = {
    "none": (None,),
    "zlib": (1, 2, 3, 6, 9),
    "zstd": (1, 3, 6, 9, 19),
    "qpl": (None,),
    "uadk": (None,),
    "qatzip": (1, 2, 3, 6, 9),
}
"""What is measured where nobody asks: ends and middle of what each method has."""
QZIP_TIMES: Final = re.compile(rb"Throughput:\s+([\d.]+) Mbit/s")
QZIP_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class CodecFigures:
    """One method at one level on so many cores. Rates are bytes of pages a second."""

    name: str
    """ "qatzip", "QEMU's zlib 1.2.13", "libqatzip (qzip)"."""
    level: int | None
    cores: int
    compress: Spread
    decompress: Spread
    ratio: float
    backend: str


Pieces = Sequence[memoryview]
Pass = tuple[float, float, int]
"""Seconds to compress, seconds to inflate, compressed bytes."""


def pieces_of(size: int, files: Sequence[Path]) -> list[memoryview]:
    """Packets of pages with content: of the generator's memory, or of files.

    :param size: bytes of memory, zero pages included.
    """
    ram: NDArray[np.uint8] = np.zeros(size, np.uint8)
    fill(ram, files=files, low=0)
    pages = ram.reshape(-1, PAGE)
    flat = np.ascontiguousarray(pages[pages.any(axis=1)]).reshape(-1)
    return [flat[at : at + PACKET_BYTES].data for at in range(0, len(flat), PACKET_BYTES)]


def measure(
    pieces: Pieces,
    levels: Mapping[str, Sequence[int | None]],
    cores: Iterable[int],
    begun: Callable[[str], None],
    stop: threading.Event,
) -> Iterator[CodecFigures]:
    """Measure one after another; each on each number of cores.

    :param begun: told the name before each.
    :raise Cancelled: ``stop`` was set.
    :raise HostError: what was inflated is not what was compressed.
    """
    for method, wanted in levels.items():
        for level in wanted:
            for count in cores:
                begun(f"{method}{'' if level is None else f' {level}'}, {count} of the cores")
                yield _method(pieces, method, level, count, stop)


def _method(
    pieces: Pieces, method: str, level: int | None, cores: int, stop: threading.Event
) -> CodecFigures:
    backends: set[str] = set()

    def one(share: Pieces) -> Pass:
        encoder = create_encoder(method, level, accelerator=OFF)
        decoder = create_decoder(method, accelerator=OFF)
        out = memoryview(bytearray(PACKET_BYTES))

        def inflate(packed: bytes, piece: memoryview) -> None:
            decoder.decode(memoryview(packed), out[: len(piece)])
            if out[: len(piece)] != piece:
                raise HostError(f"{method} did not give back what was compressed")

        backends.add(encoder.backend)
        return timed(share, lambda piece: b"".join(encoder.encode(piece)), inflate, stop)

    found = METHODS[method]
    shown = None if found.levels is None else found.level(level)
    return figures(method, shown, cores, pieces, one, lambda: " + ".join(sorted(backends)))


def zlib_of_qemu(pieces: Pieces, level: int, cores: int, stop: threading.Event) -> CodecFigures:
    """The C library as QEMU's method uses it: one stream, fed page by page, flushed per packet."""

    def one(share: Pieces) -> Pass:
        stream, back = zlib.compressobj(level), zlib.decompressobj()

        def pack(piece: memoryview) -> bytes:
            parts = [stream.compress(piece[at : at + PAGE]) for at in range(0, len(piece), PAGE)]
            return b"".join([*parts, stream.flush(zlib.Z_SYNC_FLUSH)])

        def inflate(packed: bytes, piece: memoryview) -> None:
            if back.decompress(packed) != piece:
                raise HostError("zlib did not give back what was compressed")

        return timed(share, pack, inflate, stop)

    name = f"QEMU's zlib {zlib.ZLIB_RUNTIME_VERSION}"
    return figures("QEMU's zlib", level, cores, pieces, one, lambda: name)


def timed(
    pieces: Pieces,
    pack: Callable[[memoryview], bytes],
    inflate: Callable[[bytes, memoryview], None],
    stop: threading.Event,
) -> Pass:
    """Compress and inflate all pieces; ``inflate`` also compares, which its time includes.

    :raise Cancelled: ``stop`` was set.
    """
    packing = inflating = 0.0
    size = 0
    for piece in pieces:
        if stop.is_set():
            raise Cancelled("interrupted between two packets")
        begun = time.perf_counter()
        packed = pack(piece)
        middle = time.perf_counter()
        inflate(packed, piece)
        inflating += time.perf_counter() - middle
        packing += middle - begun
        size += len(packed)
    return packing, inflating, size


def figures(
    name: str,
    level: int | None,
    cores: int,
    pieces: Pieces,
    one: Callable[[Pieces], Pass],
    backend: Callable[[], str],
) -> CodecFigures:
    """Run ``one`` in as many threads as cores, each with a share of the pieces, ``REPEATS`` times.

    On several cores the rates of the threads, which work at the same time, are added up.
    """
    total = sum(map(len, pieces))
    shares = [pieces[index::cores] for index in range(cores)]
    compress, decompress, sizes = [], [], []
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(REPEATS):
            passes = list(pool.map(one, shares))
            bytes_of = [sum(map(len, share)) for share in shares]
            pairs = list(zip(bytes_of, passes, strict=True))
            compress.append(sum(size / took[0] for size, took in pairs if took[0]))
            decompress.append(sum(size / took[1] for size, took in pairs if took[1]))
            sizes.append(sum(took[2] for took in passes))
    fast, back = spread(compress), spread(decompress)
    assert fast is not None
    assert back is not None
    return CodecFigures(name, level, cores, fast, back, total / min(sizes), backend())


def find_qzip(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The real ``qzip``: in the folders of the peers, else on the PATH."""
    own = os.pathsep.join(map(str, peer_folders(environ)))
    found = shutil.which("qzip", path=own) or shutil.which("qzip", path=environ.get("PATH"))
    return Path(found) if found else None


def libqatzip(pieces: Pieces, level: int, qzip: Path) -> CodecFigures:
    """What libqatzip does in software, by its own program's own clock, on one core.

    :raise HostError: it does not run, or does not give back what it compressed.
    """
    compress, decompress = [], []
    with tempfile.TemporaryDirectory(prefix="ramferry-") as folder:
        original, packed = Path(folder) / "pages", Path(folder) / "packed.gz"
        original.write_bytes(b"".join(pieces))
        for _ in range(REPEATS):
            compress.append(
                _qzip(qzip, "-k", "-f", "-L", level, "-O", "gzipext", original, "-o", packed.stem)
            )
            decompress.append(_qzip(qzip, "-d", "-k", "-f", packed, "-o", "back"))
        if (Path(folder) / "back").read_bytes() != original.read_bytes():
            raise HostError(f"{qzip} did not give back what it compressed")
        ratio = original.stat().st_size / packed.stat().st_size
    fast, back = spread(compress), spread(decompress)
    assert fast is not None
    assert back is not None
    return CodecFigures("libqatzip (qzip)", level, 1, fast, back, ratio, "libqatzip in software")


def _qzip(command: Path, *arguments: object) -> float:
    """Bytes a second that ``qzip`` says it did; it writes where its first file is."""
    files = [one for one in arguments if isinstance(one, Path)]
    try:
        done = subprocess.run(
            [str(command), *map(str, arguments)],
            cwd=files[0].parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=QZIP_SECONDS,
            check=True,
            process_group=0,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise HostError(f"{command} does not run: {error}") from error
    said = QZIP_TIMES.search(done.stdout + done.stderr)
    if said is None:
        raise HostError(f"{command} does not tell its throughput")
    return float(said[1]) * 1e6 / 8
