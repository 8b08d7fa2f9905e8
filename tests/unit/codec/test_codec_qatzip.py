from __future__ import annotations

import gzip
import struct

import pytest

from codec_samples import decoded, encoded, packets, sample_pages
from ramferry.codec.qatzip import QatzipDecoder, QatzipEncoder
from ramferry.errors import CorruptDataError

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
