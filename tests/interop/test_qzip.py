"""The real ``qzip`` and ``gzip`` read what we write, and we read what they write.

``qzip`` runs without a device, so its side is libqatzip's software path. Its exit code is no
proof (a truncated file ends with 0): the files are compared.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from ramferry.cli.tasks import SUFFIXES
from ramferry.codec import create_encoder

pytestmark = pytest.mark.interop

Peer = Callable[[str], Path]

NOISE = random.Random(3).randbytes(524288)
MIXED = b"".join(b"page %d:" % number + NOISE[number : number + 9] for number in range(40_000))
INPUTS = {
    "empty": b"",
    "1 byte": b"A",
    "4 KiB": MIXED[:4096],
    "64 KiB": MIXED[:65536],
    "64 KiB + 1": MIXED[:65537],
    "512 KiB": MIXED[:524288],
    "incompressible": NOISE,
}
QZIP_FORMATS = {"gzip-ext": "gzipext", "gzip": "gzip", "4B": "deflate_4B"}
"""Our name → qzip's ``-O``; it has no option for raw and zlib."""


def ramferry(*arguments: str | Path) -> None:
    """Run a command as a user does."""
    subprocess.run([sys.executable, "-m", "ramferry", *arguments], check=True, timeout=900)


def quiet(command: Path, *arguments: str | Path) -> None:
    """Run a peer; what it says of a missing device is no concern of the test."""
    result = subprocess.run([command, *arguments], capture_output=True, timeout=900, check=False)
    assert result.returncode == 0, result.stderr.decode(errors="replace")[-2000:]


@pytest.fixture
def originals(tmp_path: Path) -> list[Path]:
    """All inputs as files."""
    paths = [tmp_path / name.replace(" ", "-") for name in INPUTS]
    for path, data in zip(paths, INPUTS.values(), strict=True):
        path.write_bytes(data)
    return paths


def renamed(paths: list[Path], suffix: str) -> list[Path]:
    """Give what one side wrote the names that the other side reads; the originals are gone."""
    for path in paths:
        assert not path.exists()
        path.with_name(path.name + suffix).rename(path.with_name(path.name + ".gz"))
    return [path.with_name(path.name + ".gz") for path in paths]


def check(paths: list[Path]) -> None:
    """Compare every file with what it held at first."""
    assert {path.name: path.read_bytes() for path in paths} == {
        name.replace(" ", "-"): data for name, data in INPUTS.items()
    }


@pytest.mark.parametrize("level", ["1", "2", "3", "6", "9"])
@pytest.mark.parametrize("format", ["gzip-ext", "gzip"])
def test_gzip_reads_ours(
    require_peer: Peer, originals: list[Path], format: str, level: str
) -> None:
    ramferry("compress", "-L", level, "--format", format, *originals)
    quiet(require_peer("gzip"), "-d", *renamed(originals, SUFFIXES[format]))
    check(originals)


@pytest.mark.parametrize("level", ["1", "6", "9"])
def test_we_read_gzips(require_peer: Peer, originals: list[Path], level: str) -> None:
    quiet(require_peer("gzip"), f"-{level}", *originals)
    ramferry("decompress", *renamed(originals, ".gz"))
    check(originals)


@pytest.mark.parametrize("level", ["1", "3", "6", "9"])
@pytest.mark.parametrize("format", QZIP_FORMATS)
def test_qzip_reads_ours(
    require_peer: Peer, originals: list[Path], format: str, level: str
) -> None:
    ramferry("compress", "-L", level, "--format", format, *originals)
    packed = renamed(originals, SUFFIXES[format])
    quiet(require_peer("qzip"), "-d", "-O", QZIP_FORMATS[format], *packed)
    check(originals)


@pytest.mark.parametrize("level", ["1", "6", "9"])
@pytest.mark.parametrize("format", QZIP_FORMATS)
def test_we_read_qzips(require_peer: Peer, originals: list[Path], format: str, level: str) -> None:
    quiet(require_peer("qzip"), "-L", level, "-O", QZIP_FORMATS[format], *originals)
    ramferry("decompress", "--format", format, *renamed(originals, ".gz"))
    check(originals)


@pytest.mark.parametrize("level", [1, 3, 6, 9])
def test_qzip_reads_our_packets(require_peer: Peer, tmp_path: Path, level: int) -> None:
    """Full packets of one member each, of 64 KiB each, and one of incompressible pages."""
    full = (MIXED[:524288], NOISE, MIXED[524288 : 524288 + 4096])
    for members in ("packet", "64K"):
        encoder = create_encoder("qatzip", level, member_size=members)
        packed = tmp_path / f"{members}.gz"
        # what an encoder gives is valid until its next call
        packets = [b"".join(encoder.encode(memoryview(pages))) for pages in full]
        packed.write_bytes(b"".join(packets))
        quiet(require_peer("qzip"), "-d", packed)
        assert packed.with_suffix("").read_bytes() == b"".join(full)


def sparse(path: Path, size: int) -> Path:
    """Make a file of ``size`` bytes that are holes, but for some noise in every 64th part."""
    with path.open("wb") as file:
        file.truncate(size)
        for part in range(64):
            file.seek(part * (size // 64))
            file.write(NOISE[part * 1000 : part * 1000 + 5000])
        file.seek(size - 3)
        file.write(b"end")
    return path


def outputs(original: Path, *command: str | Path, stdin: BinaryIO | None = None) -> int:
    """Run a command whose output must be the bytes of ``original``; return its exit code."""
    with subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        subprocess.run(["cmp", "-", original], stdin=process.stdout, check=True, timeout=900)
    return process.returncode


MEASURED = """
import sys
from pathlib import Path
from ramferry.cli import table
peak = sys.argv.pop()
table.main(sys.argv[1:], standalone_mode=False)
lines = Path("/proc/self/status").read_text().splitlines()
Path(peak).write_text(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""
"""Runs a command, then writes its peak memory in KiB into the file named last."""


def sized(peer: str, size: int, *marks: pytest.MarkDecorator) -> Any:
    return pytest.param(peer, size, id=f"{peer} {size / 1e9:g} GB", marks=marks)


SLOW = (pytest.mark.slow, pytest.mark.timeout(1800))
SMALL, LARGE, HUGE = 40_000_000, 2_600_000_000, 5_000_000_000


@pytest.mark.parametrize(
    ("peer", "size"),
    [
        sized("gzip", SMALL),
        sized("qzip", SMALL),
        sized("gzip", HUGE, *SLOW),
        sized("qzip", LARGE, *SLOW),
    ],
)
def test_they_read_our_sparse_file(
    require_peer: Peer, tmp_path: Path, peer: str, size: int
) -> None:
    """qzip reads a pipe, and 2.6 GB at most: what comes out of 512 MiB of input, or of a file,
    must fit five times as many bytes, or qzip 1.3.1 loops, on what it wrote itself as well."""
    original = sparse(tmp_path / "original", size)
    packed = tmp_path / "packed.gz"
    ramferry("compress", "-k", "-o", packed, original)
    with packed.open("rb") as file:
        assert outputs(original, require_peer(peer), "-d", stdin=file) == 0


@pytest.mark.parametrize(
    ("peer", "size"),
    [
        sized("gzip", SMALL),
        sized("qzip", SMALL),
        sized("gzip", HUGE, *SLOW),
        sized("qzip", HUGE, *SLOW),
    ],
)
def test_we_read_their_sparse_file_in_bounded_memory(
    require_peer: Peer, tmp_path: Path, peer: str, size: int
) -> None:
    """gzip writes one member, of 5 GB as well; qzip one per 512 MiB."""
    original = sparse(tmp_path / "original", size)
    packed = tmp_path / "original.gz"
    quiet(require_peer(peer), *(["-1"] if peer == "gzip" else []), "-k", original)
    peak = tmp_path / "peak"
    assert outputs(original, sys.executable, "-c", MEASURED, "decompress", "-c", packed, peak) == 0
    assert int(peak.read_text()) < 48 * 1024, f"{peak.read_text()} KiB"
