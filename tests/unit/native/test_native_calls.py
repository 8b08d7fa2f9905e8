"""ISA-L, libdeflate and libzstd by their C interface: layouts, limits, others' memory."""

from __future__ import annotations

import random
import re
import zlib

import pytest
import zstandard
from zlib_ng import zlib_ng

from ramferry.errors import HostError
from ramferry.native import isal, libdeflate, zstd
from ramferry.native.memory import CLibrary, address, bound

TEXT = b"".join(b"%d bottles of beer on the wall, " % n for n in range(20_000))[: 512 * 1024]
NOISE = random.Random(5).randbytes(512 * 1024)


def guarded(size: int) -> tuple[bytearray, memoryview]:
    """Memory with 64 bytes on each side that nobody may write."""
    whole = bytearray(b"#" * (size + 128))
    return whole, memoryview(whole)[64 : 64 + size]


def untouched(whole: bytearray) -> bool:
    return whole[:64] == whole[-64:] == b"#" * 64


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("data", [TEXT, NOISE, b"", b"a", TEXT[:4097]])
def test_isals_members_are_deflate_data_with_their_trailer(level: int, data: bytes) -> None:
    deflate = isal.Deflate(level)
    for trailer, wbits in ((isal.DEFLATE, -15), (isal.GZIP_TRAILER, 31), (isal.ZLIB_TRAILER, 15)):
        whole, out = guarded(bound(len(data)))
        size = deflate.member(memoryview(data), out, trailer)
        head = {-15: b"", 31: bytes.fromhex("1f8b08000000000000ff"), 15: b"\x78\x9c"}[wbits]
        assert zlib.decompress(head + bytes(out[:size]), wbits) == data
        assert untouched(whole)


def test_isals_packets_are_one_stream() -> None:
    deflate, inflate, back = isal.Deflate(1), isal.Inflate(), zlib.decompressobj(-15)
    for data in (TEXT, NOISE, TEXT, TEXT[:4096]):
        whole, out = guarded(bound(len(data)))
        packet = out[: deflate.packet(memoryview(data), out)]
        assert packet[-4:] == b"\x00\x00\xff\xff"
        assert back.decompress(packet) == data
        room, pages = guarded(len(data))
        assert inflate.packet(packet, pages) == (len(data), 0, False)
        assert pages == data
        assert untouched(whole)
        assert untouched(room)


def test_isal_inflates_one_byte_more_than_there_is_room_for() -> None:
    deflate = isal.Deflate(1)
    out = memoryview(bytearray(bound(len(TEXT))))
    packet = out[: deflate.packet(memoryview(TEXT), out)]
    whole, pages = guarded(1000)
    assert isal.Inflate().packet(packet, pages)[0] == 1001
    assert untouched(whole)
    room = memoryview(bytearray(len(TEXT) + 5))
    assert isal.Inflate().packet(packet, room) == (len(TEXT), 0, False)


def test_isal_sees_a_streams_last_block() -> None:
    """The block's state stands where ``struct inflate_state`` is said to have it."""
    out = memoryview(bytearray(len(TEXT)))
    whole = zlib.compress(TEXT, wbits=-15)
    assert isal.Inflate().packet(memoryview(whole), out) == (len(TEXT), 0, True)
    assert isal.Inflate().packet(memoryview(whole[:-9]), out)[2] is False


def test_isal_refuses_damage() -> None:
    with pytest.raises(ValueError, match="an invalid block"):
        isal.Inflate().packet(memoryview(b"\x07\0\0\0"), memoryview(bytearray(10)))


@pytest.mark.parametrize("level", [1, 4, 9, 12])
@pytest.mark.parametrize("data", [TEXT, NOISE, b"a"])
def test_libdeflate_there_and_back(level: int, data: bytes) -> None:
    whole, out = guarded(bound(len(data)))
    size = libdeflate.Deflate(level).member(memoryview(data), out)
    assert untouched(whole)
    assert zlib.decompress(out[:size], -15) == data


def test_libdeflate_takes_one_whole_member_that_fits() -> None:
    member = zlib.compress(TEXT, wbits=31)
    inflate = libdeflate.Inflate()
    whole, out = guarded(len(TEXT))
    assert inflate.member(memoryview(member), out)
    assert out == TEXT
    assert not inflate.member(memoryview(member), out[:-1])
    assert not inflate.member(memoryview(member), memoryview(bytearray(len(TEXT) + 1)))
    assert not inflate.member(memoryview(member + member), out)
    assert not inflate.member(memoryview(member[:-1]), out)
    assert not inflate.member(memoryview(member[:-8] + b"\0" + member[-7:]), out)
    assert untouched(whole)


def test_an_address_is_that_of_the_first_byte() -> None:
    memory = bytearray(b"abcdef")
    view = memoryview(memory)
    assert address(view[2:]) == address(view) + 2
    assert address(view.toreadonly()[3:]) == address(view) + 3
    assert address(view[6:]) == 0
    view.release()
    # address() holds no export, so the view can be released
    with pytest.raises(ValueError, match="released"):
        address(view)


def test_zstds_packets_are_one_stream() -> None:
    compressor, back = zstd.Compressor(1, len(TEXT)), zstd.Decompressor(27)
    others = zstandard.ZstdDecompressor().decompressobj()
    for data in (TEXT, NOISE, TEXT, TEXT[:4096]):
        (packet,) = compressor.encode(memoryview(data))
        room, pages = guarded(len(data))
        assert back.packet(packet, pages) == (len(data), 0)
        assert pages == data == others.decompress(packet)
        assert untouched(room)


@pytest.mark.parametrize("data", [TEXT, NOISE, b"a"])
def test_zstds_frames_stand_alone(data: bytes) -> None:
    compressor = zstd.Compressor(1, len(data), frames=True)
    made = {bytes(part) for _ in range(2) for part in compressor.encode(memoryview(data))}
    assert len(made) == 1
    frame = made.pop()
    assert zstandard.ZstdDecompressor().decompressobj().decompress(frame) == data
    back = memoryview(bytearray(2 * len(data)))
    assert zstd.Decompressor(27).packet(memoryview(frame * 2), back) == (2 * len(data), 0)


def test_zstd_decompresses_one_byte_more_than_there_is_room_for() -> None:
    (packet,) = zstd.Compressor(1, len(TEXT)).encode(memoryview(TEXT))
    assert isinstance(packet, memoryview)
    whole, pages = guarded(1000)
    assert zstd.Decompressor(27).packet(packet, pages)[0] == 1001
    assert untouched(whole)
    whole, pages = guarded(len(TEXT) - 1)
    assert zstd.Decompressor(27).packet(packet, pages)[0] == len(TEXT)
    assert zstd.Decompressor(27).packet(packet, memoryview(bytearray(len(TEXT) + 1))) == (
        len(TEXT),
        0,
    )


def test_zstd_refuses_damage_and_windows_over_the_limit() -> None:
    with pytest.raises(ValueError, match="unknown frame descriptor"):
        zstd.Decompressor(27).packet(memoryview(b"no frame at all"), memoryview(bytearray(10)))
    (packet,) = zstd.Compressor(19, len(TEXT)).encode(memoryview(TEXT))
    assert isinstance(packet, memoryview)
    with pytest.raises(ValueError, match="frame requires too much memory"):
        zstd.Decompressor(20).packet(packet, memoryview(bytearray(len(TEXT))))


def test_zstds_version_is_the_librarys() -> None:
    assert re.fullmatch(r"1\.\d+\.\d+", zstd.version())


def test_a_library_that_is_missing_or_hides_its_functions_is_named() -> None:
    with pytest.raises(HostError, match=r"cannot load libnone\.so\.1: .*; install libnone1"):
        CLibrary("libnone.so.1", "libnone1")
    with pytest.raises(HostError, match="shows no isal_deflate: install zlib_ng from PyPI"):
        CLibrary.of(zlib_ng).function("isal_deflate", None)
