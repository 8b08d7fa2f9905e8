"""Measures the software path of the real libqatzip with its own program ``qzip`` and its clock."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from ramferry.bench.codecs import REPEATS, CodecFigures, Pieces
from ramferry.bench.qemu import peer_folders
from ramferry.errors import HostError
from ramferry.report.benchmark.columns import spread
from ramferry.transport.tempfolder import TempFolder

THROUGHPUT: Final = re.compile(rb"Throughput:\s+([\d.]+) Mbit/s")
SECONDS: Final = 600.0


def find_qzip(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Find the real ``qzip`` in the folders of the peers, or else on the PATH."""
    own = os.pathsep.join(map(str, peer_folders(environ)))
    found = shutil.which("qzip", path=own) or shutil.which("qzip", path=environ.get("PATH"))
    return Path(found) if found else None


def libqatzip(pieces: Pieces, level: int, cores: int, qzip: Path) -> CodecFigures:
    """Measure libqatzip in software, with a process and a share of the pieces for each core.

    The rates are the sums of those that the processes report.

    :raise HostError: it does not run, or does not give back what it compressed.
    """
    with (
        TempFolder() as folder,
        ThreadPoolExecutor(cores) as pool,
    ):
        shares = [_Share(qzip, level, folder.path, n, pieces[n::cores]) for n in range(cores)]
        compress, decompress = [], []
        for _ in range(REPEATS):
            compress.append(sum(pool.map(_Share.compress, shares)))
            decompress.append(sum(pool.map(_Share.decompress, shares)))
        if not all(share.same() for share in shares):
            raise HostError(f"{qzip} did not give back what it compressed")
        sizes = [(share.original.stat().st_size, share.packed.stat().st_size) for share in shares]
    fast, back = spread(compress), spread(decompress)
    assert fast is not None
    assert back is not None
    ratio = sum(one for one, _ in sizes) / sum(other for _, other in sizes)
    return CodecFigures(
        "libqatzip (qzip)", level, cores, fast, back, ratio, "libqatzip in software"
    )


class _Share:
    """One process's part of the pieces, as a file."""

    def __init__(self, qzip: Path, level: int, folder: Path, number: int, pieces: Pieces) -> None:
        self._qzip = qzip
        self._level = level
        self.original = folder / f"pages-{number}"
        self.packed = folder / f"packed-{number}.gz"
        self._back = folder / f"back-{number}"
        self.original.write_bytes(b"".join(pieces))

    def compress(self) -> float:
        """Bytes of pages a second."""
        options = ("-k", "-f", "-L", self._level, "-O", "gzipext")
        return self._run(*options, self.original, "-o", self.packed.stem)

    def decompress(self) -> float:
        """Bytes of pages a second."""
        return self._run("-d", "-k", "-f", self.packed, "-o", self._back.name)

    def same(self) -> bool:
        """Whether what was inflated is what was compressed."""
        return self._back.read_bytes() == self.original.read_bytes()

    def _run(self, *arguments: object) -> float:
        """Bytes a second that ``qzip`` reports; it writes its output beside its input."""
        try:
            done = subprocess.run(
                [str(self._qzip), *map(str, arguments)],
                cwd=self.original.parent,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                check=True,
                process_group=0,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise HostError(f"{self._qzip} does not run: {error}") from error
        said = THROUGHPUT.search(done.stdout + done.stderr)
        if said is None:
            raise HostError(f"{self._qzip} does not tell its throughput")
        return float(said[1]) * 1e6 / 8
