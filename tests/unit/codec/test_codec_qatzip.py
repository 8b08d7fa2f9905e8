from __future__ import annotations

import gzip
import struct

import pytest

from codec_samples import decoded, encoded, packets, sample_pages
from ramferry.codec import create_decoder, create_encoder
from ramferry.codec.qatzip import QatzipDecoder, QatzipEncoder
from ramferry.errors import CorruptDataError
from ramferry.qatzip.members import walk

MEMBER = 64 * 1024
HEAD = bytes.fromhex("1f 8b 08 04 00 00 00 00")
EXTRA = bytes.fromhex("0c 00 51 5a 08 00")


@pytest.mark.parametrize("level", range(1, 10))
def test_members_of_64_kib_with_exact_sizes(level: int) -> None:
    pages = sample_pages(40)
    payload = encoded(QatzipEncoder(level), pages)
    at = 0
    for start in range(0, len(pages), MEMBER):
        source = pages[start : start + MEMBER]
        assert payload[at : at + 8] == HEAD
        assert payload[at + 10 : at + 16] == EXTRA
        source_size, deflate_size = struct.unpack_from("<II", payload, at + 16)
        assert source_size == len(source)
        member = payload[at : at + 24 + deflate_size + 8]
        assert gzip.decompress(member) == source
        at += len(member)
    assert at == len(payload)


def sizes_of(payload: bytes) -> list[int]:
    """The bytes of pages in each member, by their headers."""
    chain = walk(memoryview(payload))
    assert chain is not None
    return [member.src for member in chain]


@pytest.mark.parametrize("level", [1, 2, 6, 9])
@pytest.mark.parametrize("count", [1, 16, 17, 40, 128])
def test_a_packet_is_one_member_if_asked(level: int, count: int) -> None:
    pages = sample_pages(count)
    encoder = QatzipEncoder(level, members="packet")
    payload = encoded(encoder, pages)
    assert encoder.member_size == 524288
    assert sizes_of(payload) == [len(pages)]
    assert gzip.decompress(payload) == decoded(QatzipDecoder(), payload, len(pages)) == pages


@pytest.mark.parametrize("members", ["auto", "64K"])
def test_an_encoder_that_knows_no_better_writes_members_of_64_kib(members: str) -> None:
    encoder = QatzipEncoder(1, members=members)
    assert encoder.member_size == MEMBER
    assert sizes_of(encoded(encoder, sample_pages(40))) == [MEMBER, MEMBER, 8 * 4096]


def test_every_packet_is_complete_in_itself() -> None:
    encoder, decoder = QatzipEncoder(1), QatzipDecoder()
    sent = [(pages, encoded(encoder, pages)) for pages in packets(4, pages=32)]
    for pages, payload in reversed(sent):
        assert decoded(decoder, payload, len(pages)) == pages


def test_plain_gzip_of_any_member_size_is_read() -> None:
    pages = sample_pages(32)
    assert decoded(QatzipDecoder(), gzip.compress(pages), len(pages)) == pages
    halves = gzip.compress(pages[:1000]) + gzip.compress(pages[1000:])
    assert decoded(QatzipDecoder(), halves, len(pages)) == pages


def test_damage_anywhere_in_the_data_is_noticed() -> None:
    pages = sample_pages(2)
    payload = encoded(QatzipEncoder(1), pages)
    for at in range(24, len(payload), 7):
        damaged = bytearray(payload)
        damaged[at] ^= 0x10
        with pytest.raises(CorruptDataError):
            decoded(QatzipDecoder(), damaged, len(pages))


@pytest.mark.parametrize("size", [4096, 12288])
def test_another_size_than_promised_is_refused(size: int) -> None:
    payload = encoded(QatzipEncoder(1), sample_pages(2))
    with pytest.raises(CorruptDataError):
        decoded(QatzipDecoder(), payload, size)


def test_left_over_and_missing_bytes_are_refused() -> None:
    payload = encoded(QatzipEncoder(1), sample_pages(2))
    for wrong in (payload + b"\0", payload + b"\x1f\x8b", payload[:-1], payload[:20], b""):
        with pytest.raises(CorruptDataError):
            decoded(QatzipDecoder(), wrong, 8192)


def test_a_decoder_names_what_has_inflated() -> None:
    """libdeflate a packet of one member, ISA-L one of several."""
    pages = sample_pages(64)
    for sizes, engines in (
        (["packet"], "libdeflate"),
        (["64K"], "isa-l"),
        (["packet", "64K"], "libdeflate + isa-l"),
    ):
        decoder = create_decoder("qatzip", accelerator="off")
        for size in sizes:
            encoder = create_encoder("qatzip", 1, accelerator="off", member_size=size)
            assert decoded(decoder, encoded(encoder, pages), len(pages)) == pages
        assert decoder.backend == engines
