"""Digests in the headers of a multifd channel's packets between two Ramferrys."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

import pytest
import xxhash

from ramferry.errors import CorruptDataError, RemoteProtocolError
from ramferry.wire.digests import (
    Sealer,
    SealReader,
    check_pages,
    check_payload,
)
from ramferry.wire.packets import Initial, ram_header

TOKEN = bytes.fromhex("0123456789abcdeffedcba9876543210")
PAGE = b"\x11" * 4096


def plain() -> memoryview:
    """A packet of method none with a page and a zero page."""
    return memoryview(
        ram_header(block="pc.ram", normal=[4096], zero=[8192], payload_size=4096, packet_num=5)
    )


def coded() -> memoryview:
    """A packet of method zstd with one page, as three bytes."""
    return memoryview(
        ram_header(flags=4, block="pc.ram", normal=[4096], payload_size=3, packet_num=6)
    )


def sync() -> memoryview:
    return memoryview(ram_header(flags=1))


def seal_all() -> tuple[list[bytes], Sealer]:
    """A channel's initial packet and three headers, sealed."""
    sealer = Sealer(TOKEN)
    initial = sealer.initial(Initial(bytes(16), 3).encode())
    headers = plain(), coded(), sync()
    sealer.seal(headers[0], 2, PAGE, ())
    sealer.seal(headers[1], 1, PAGE, (b"a", b"bc"))
    sealer.seal(headers[2], 0, b"", ())
    return [initial, *map(bytes, headers)], sealer


def test_digests_as_bytes() -> None:
    sealed, sealer = seal_all()
    assert [raw[36:64].hex() if at else raw[60:].hex() for at, raw in enumerate(sealed)] == [
        "bd5c74b4",
        "1b2a3646fb689c38f4136b23a50c6661" + "0000000000000000" + "292fcc34",
        "706f752d6bf2033315cc415885c9a7f5" + "78af5f94892f3950" + "53c5435f",
        "00000000000000000000000000000000" + "0000000000000000" + "8dce9875",
    ]
    assert sealer.at(1) == 10335161299176953973


def test_digests_are_those_of_the_document() -> None:
    """Computed again from docs/relay-protocol.md, section 4."""
    sealed, _ = seal_all()
    chain = struct.unpack_from(">Q", TOKEN)[0]
    for raw in sealed:
        chain = xxhash.xxh3_64_intdigest(raw[:60] + bytes(4) + raw[64:], chain)
        assert raw[60:64] == struct.pack(">I", chain & 0xFFFFFFFF)
    one, two = sealed[1], sealed[2]
    assert one[36:52] == xxhash.xxh3_128_digest(one[64:336] + PAGE)
    assert two[36:52] == xxhash.xxh3_128_digest(two[64:328] + PAGE)
    assert two[52:60] == xxhash.xxh3_64_digest(b"abc")


def test_a_reader_gives_back_what_a_qemu_knows() -> None:
    sealed, sealer = seal_all()
    reader = SealReader(TOKEN)
    assert reader.initial(sealed[0]) == Initial(bytes(16), 3).encode()
    for raw, before in zip(sealed[1:], (plain(), coded(), sync()), strict=True):
        header = memoryview(bytearray(raw))
        pages, payload = reader.header(header)
        assert header == before
        assert (pages, payload) == (raw[36:52], int.from_bytes(raw[52:60], "big"))
    assert reader.at(1) == sealer.at(1)


@pytest.mark.parametrize("bit", [0, 8 * 37, 8 * 61, 8 * 700 + 3])
@pytest.mark.parametrize("packet", [1, 2, 3])
def test_a_flipped_bit_of_a_header_is_seen_at_that_packet(packet: int, bit: int) -> None:
    sealed, _ = seal_all()
    reader = SealReader(TOKEN)
    reader.initial(sealed[0])
    damaged = bytearray(sealed[packet])
    damaged[bit // 8] ^= 1 << bit % 8
    for raw in sealed[1:packet]:
        reader.header(memoryview(bytearray(raw)))
    with pytest.raises(RemoteProtocolError, match=r"the header as sent, .* the link"):
        reader.header(memoryview(damaged))


@pytest.mark.parametrize(
    ("good", "bad"), [([], 2), ([1], 1), ([1], 3)], ids=["first missing", "doubled", "missing"]
)
def test_a_packet_out_of_place_is_seen(good: list[int], bad: int) -> None:
    sealed, _ = seal_all()
    reader = SealReader(TOKEN)
    reader.initial(sealed[0])
    for at in good:
        reader.header(memoryview(bytearray(sealed[at])))
    with pytest.raises(RemoteProtocolError, match="the header as sent"):
        reader.header(memoryview(bytearray(sealed[bad])))


def test_another_migrations_channel_is_seen() -> None:
    sealed, _ = seal_all()
    with pytest.raises(RemoteProtocolError, match="the header as sent"):
        SealReader(bytes(16)).initial(sealed[0])


def test_a_payload_is_checked_before_it_is_inflated() -> None:
    digest = xxhash.xxh3_64_intdigest(b"abc")
    check_payload(digest, "pc.ram", b"abc")
    with pytest.raises(RemoteProtocolError, match=r"payload of pages of block 'pc.ram' as sent"):
        check_payload(digest, "pc.ram", b"abd")


def change_page(_: memoryview, pages: bytearray) -> None:
    pages[77] ^= 1


def change_offset(header: memoryview, _: bytearray) -> None:
    header[326] ^= 0x10


def change_zero_offset(header: memoryview, _: bytearray) -> None:
    header[334] ^= 0x10


def change_block(header: memoryview, _: bytearray) -> None:
    header[64] ^= 1


@pytest.mark.parametrize("change", [change_page, change_offset, change_zero_offset, change_block])
@pytest.mark.parametrize("by_codec", [False, True])
def test_pages_that_are_not_the_sources_are_seen(
    change: Callable[[memoryview, bytearray], None], by_codec: bool
) -> None:
    sealed, _ = seal_all()
    reader, header, pages = SealReader(TOKEN), memoryview(bytearray(sealed[1])), bytearray(PAGE)
    reader.initial(sealed[0])
    digest, _ = reader.header(header)
    check_pages(digest, "pc.ram", header, 2, pages, coded=by_codec)
    change(header, pages)
    kind, word = (CorruptDataError, "codec") if by_codec else (RemoteProtocolError, "link")
    with pytest.raises(RemoteProtocolError, match=f"'pc.ram'.*{word}.* is to be suspected") as bad:
        check_pages(digest, "pc.ram", header, 2, pages, coded=by_codec)
    assert type(bad.value) is kind


def in_pieces(raw: bytes, most: int) -> Iterator[memoryview]:
    """So many bytes at a time, all in one buffer, as a channel receives them."""
    buffer = memoryview(bytearray(most))
    for at in range(0, len(raw), most):
        piece = raw[at : at + most]
        buffer[: len(piece)] = piece
        yield buffer[: len(piece)]


@pytest.mark.parametrize("payload", [b"", b"p", b"payload", bytes(100)])
@pytest.mark.parametrize("most", [1, 3, 7, 8, 9, 200])
def test_a_devices_state_has_a_trailer(payload: bytes, most: int) -> None:
    """However its bytes are cut into pieces."""
    sealer = Sealer(TOKEN)
    sealer.device(b"header")
    sealer.device(payload)
    trailer = sealer.trailer()
    seed = struct.unpack_from(">Q", TOKEN)[0]
    assert trailer == xxhash.xxh3_64_digest(b"header" + payload, seed)

    def taken(header: bytes, raw: bytes) -> Iterator[bytes]:
        pieces = SealReader(TOKEN).state(header, len(payload), in_pieces(raw, most))
        return map(bytes, pieces)

    assert b"".join(taken(b"header", payload + trailer)) == payload
    for header, raw in [
        (b"heAder", payload + trailer),
        (b"header", payload + trailer[:-1] + b"!"),
        *([(b"header", b"!" + payload[1:] + trailer)] if payload else []),
    ]:
        come: list[bytes] = []
        with pytest.raises(RemoteProtocolError, match=r"the device state as sent.*link"):
            come.extend(taken(header, raw))
        # a destination that waits for the rest does not use it
        assert len(b"".join(come)) == max(len(payload) - 1, 0)
