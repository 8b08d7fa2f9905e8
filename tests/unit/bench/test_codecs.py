"""The codecs alone: every method goes there and back, and who does not is found out."""

from __future__ import annotations

import threading

import pytest

from ramferry.bench.codecs import QemuZlib, figures, measure, pieces_of
from ramferry.errors import Cancelled, HostError
from ramferry.report.codecs import codec_lines

PIECES = pieces_of(4 << 20, ())


def test_pieces_are_packets_of_pages_with_content() -> None:
    assert all(len(piece) == 512 * 1024 for piece in PIECES[:-1])
    assert 2 << 20 < sum(map(len, PIECES)) < 4 << 20


def test_methods_on_one_core_and_two() -> None:
    begun: list[str] = []
    wanted = {"none": (None,), "zlib": (1,), "qatzip": (1, 9)}
    rows = list(measure(PIECES, wanted, [1, 2], begun.append, threading.Event()))
    assert begun[2:4] == ["zlib 1, 1 core", "zlib 1, 2 cores"]
    assert [(row.name, row.level, row.cores) for row in rows[:3]] == [
        ("none", None, 1),
        ("none", None, 2),
        ("zlib", 1, 1),
    ]
    assert rows[0].ratio == 1
    assert 2.5 < rows[2].ratio < 3
    assert rows[4].ratio < rows[6].ratio
    assert all(row.compress.low <= row.compress.middle <= row.compress.high for row in rows)
    assert all(row.compress.count == 3 for row in rows)


def test_zlib_as_qemu_uses_it_is_a_stream_flushed_per_packet() -> None:
    coder, out = QemuZlib(1), memoryview(bytearray(len(PIECES[0])))
    first, second = coder.pack(PIECES[0]), coder.pack(PIECES[0])
    assert first[:1] == b"\x78"
    assert first.endswith(b"\0\0\xff\xff")
    assert second.endswith(b"\0\0\xff\xff")
    assert second[:1] != b"\x78"
    coder.unpack(first, out)
    assert out == PIECES[0]


class Forgetful:
    """Gives back something else."""

    backend = "forgetful"
    member_size = None

    def pack(self, piece: memoryview) -> bytes:
        return bytes(piece)

    def unpack(self, packed: bytes, out: memoryview) -> None:
        out[:] = packed
        out[-1] ^= 1


def test_a_codec_that_damages_is_found_out() -> None:
    with pytest.raises(HostError, match="forgetful did not give back what was compressed"):
        figures("forgetful", None, 1, PIECES, Forgetful, threading.Event())


def test_it_can_be_stopped() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        next(measure(PIECES, {"none": (None,)}, [1], lambda _: None, stop))


def test_lines() -> None:
    spread = {"middle": 1e8, "low": 9e7, "high": 2e8, "count": 3}
    row = {"name": "qatzip", "level": 1, "cores": 2, "compress": spread, "decompress": spread}
    row |= {"ratio": 2.5, "backend": "isa-l", "member_size": 65536}
    head, *_, line = codec_lines([row], 1 << 20, "text")
    assert head == "1 MiB of pages with content, text; medians of 3, all in software"
    assert " ".join(line.split()) == "qatzip 1 2 100 90 – 200 100 90 – 200 2.500 isa-l"
    *_, line = codec_lines([{**row, "member_size": 524288}], 1 << 20, "text")
    assert line.endswith("2.500  isa-l, 1 member a packet")


@pytest.mark.parametrize(
    ("options", "size"),
    [((), 524288), (("auto",), 524288), (("packet",), 524288), (("64K",), 65536)],
)
def test_members_are_as_between_relays_or_as_asked(options: tuple[str, ...], size: int) -> None:
    wanted = {"zlib": (1,), "qatzip": (1,)}
    rows = measure(PIECES, wanted, [1], lambda _: None, threading.Event(), *options)
    assert [row.member_size for row in rows] == [None, size]
