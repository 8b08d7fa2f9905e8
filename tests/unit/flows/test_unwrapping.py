"""Recordings in gzip, zstd and libvirt's image, and what is said of the others."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard

from ramferry.errors import CorruptDataError, UsageError
from ramferry.flows.inspection import inspect, inspect_folder
from ramferry.flows.unwrapping import Stream, unwrap
from ramferry.metrics.inspection import Inspection

MAIN = (Path(__file__).resolve().parents[2] / "golden" / "7.2-microvm.main").read_bytes()
LIBVIRT = "a libvirt save image"
Wrap = Callable[[bytes], bytes]


def frames(raw: bytes) -> bytes:
    """As pzstd or two appended files: frames one behind the other."""
    return zstandard.compress(raw[:9000]) + zstandard.compress(raw[9000:])


def libvirt(kind: int, wrap: Wrap = bytes, *, magic: bytes = b"LibvirtQemudSave") -> Wrap:
    """libvirt's header: version 2, XML, was running, format, no cookie."""

    def wrapped(raw: bytes, order: str = "<") -> bytes:
        xml = b"<domain type='kvm'/>\n\0"
        head = magic + struct.pack(f"{order}5I", 2, len(xml), 1, kind, 0)
        return head + bytes(56) + xml + wrap(raw)

    return wrapped


def looked(raw: bytes) -> Inspection:
    return inspect(io.BytesIO(raw))


@pytest.mark.parametrize(
    ("wrap", "wrapping"),
    [
        (bytes, ()),
        (gzip.compress, ("gzip",)),
        (lambda raw: gzip.compress(raw[:99]) + gzip.compress(raw[99:]) + bytes(512), ("gzip",)),
        (zstandard.compress, ("zstd",)),
        (frames, ("zstd",)),
        (libvirt(0), (LIBVIRT,)),
        (libvirt(1, gzip.compress), (LIBVIRT, "gzip")),
        (libvirt(5, zstandard.compress), (LIBVIRT, "zstd")),
        (lambda raw: gzip.compress(libvirt(5, frames)(raw)), ("gzip", LIBVIRT, "zstd")),
    ],
)
def test_what_a_recording_is_in_is_looked_through(wrap: Wrap, wrapping: tuple[str, ...]) -> None:
    found, plain = looked(wrap(MAIN)), looked(MAIN)
    assert found.wrapping == wrapping
    assert (found.fault, found.kind, found.machine) == ("", "main stream", "microvm")
    assert (found.blocks, found.devices, found.channels) == (
        plain.blocks,
        plain.devices,
        plain.channels,
    )


def test_libvirt_on_a_host_of_the_other_byte_order() -> None:
    assert looked(libvirt(0)(MAIN, ">")).fault == ""  # type: ignore[call-arg]


def test_a_libvirt_image_that_was_not_finished_says_so() -> None:
    found = looked(libvirt(0, magic=b"LibvirtQemudPart")(MAIN))
    assert (found.fault, found.machine) == ("libvirt marks its image as incomplete", "microvm")


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (lzma.compress(MAIN), "this is compressed by xz, .*: decompress it with xz first"),
        (bz2.compress(MAIN), "this is compressed by bzip2"),
        (b"\x89LZO\0\r\n\x1a\n" + MAIN, "this is compressed by lzop"),
        (b"\x04\x22\x4d\x18" + MAIN, "this is compressed by lz4"),
        (libvirt(3, lzma.compress)(MAIN), f"what is in {LIBVIRT} is compressed by xz"),
        (gzip.compress(b"hello"), "neither a save file nor a recorded .*, in gzip"),
        (gzip.compress(b"RAMFERRY" + bytes(99)), "a save file is read as a file"),
        (b"", "neither a save file nor a recorded migration channel$"),
    ],
    ids=["xz", "bzip2", "lzop", "lz4", "libvirt xz", "text", "save file", "nothing"],
)
def test_what_is_not_looked_through_is_named(raw: bytes, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        looked(raw)


@pytest.mark.parametrize("wrap", [gzip.compress, frames, libvirt(1, gzip.compress)])
def test_a_wrapping_that_was_cut_is_damage(wrap: Wrap) -> None:
    noise = random.Random(1).randbytes(3 << 20)  # so that the cut is behind what is read first
    found = looked(wrap(MAIN[:20_000] + noise)[:-9])
    assert "gzip: expected" in found.fault or "zstd: expected" in found.fault
    assert found.machine == "microvm"


@pytest.mark.parametrize("raw", [libvirt(0)(b"")[:50], libvirt(0)(b"")[:100], b"\x1f\x8b\x08\xff"])
def test_a_wrapping_that_is_none(raw: bytes) -> None:
    with pytest.raises(CorruptDataError):
        looked(raw)


def test_a_zstd_bomb_costs_little_memory() -> None:
    """Runs of 128 KiB in 4 bytes: 2 KiB of them at once, whatever the file has."""
    stream = unwrap(io.BytesIO(zstandard.compress(bytes(1 << 30)))).stream
    assert len(stream.peek(1)) == 1
    assert len(stream._held) <= 64 << 20


def test_a_folder_may_hold_compressed_recordings(tmp_path: Path) -> None:
    (tmp_path / "main.gz").write_bytes(gzip.compress(MAIN))
    (tmp_path / "notes.xz").write_bytes(lzma.compress(b"notes"))
    assert inspect_folder(tmp_path).machine == "microvm"
    (tmp_path / "other.gz").write_bytes(gzip.compress(MAIN)[:20])
    with pytest.raises(CorruptDataError, match=r"other\.gz: expected"):
        inspect_folder(tmp_path)


@pytest.mark.parametrize("seed", range(9))
def test_a_stream_gives_each_byte_once(seed: int) -> None:
    chance = random.Random(seed)
    data = chance.randbytes(5000)
    cuts = sorted({0, 5000, *(chance.randrange(5000) for _ in range(9))})
    pieces = [data[one:two] for one, two in pairwise(cuts)]
    stream, taken = Stream(iter(pieces)), b""
    while stream.offset < 5000:
        before = stream.offset
        assert stream.peek(9) == data[before : before + 9]
        match chance.randrange(3):
            case 0:
                taken += stream.read(chance.randrange(1, 900))
            case 1:
                piece = bytearray(chance.randrange(1, 900))
                taken += piece[: stream.fill(memoryview(piece))]
            case 2:
                count = stream.skip(chance.randrange(900))
                taken += data[before : before + count]
        assert len(taken) == stream.offset
    assert taken == data
    assert (bytes(stream.read(1)), stream.peek(1), stream.skip(1)) == (b"", b"", 0)
