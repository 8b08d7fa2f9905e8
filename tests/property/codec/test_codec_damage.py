"""Damage of any kind ends in CorruptDataError or in pages of the right size, never otherwise."""

from __future__ import annotations

import random
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec_samples import decoded, encoded, packets
from ramferry.codec import METHODS, create_decoder, create_encoder
from ramferry.codec.zlib import SYNC_MARK
from ramferry.errors import CorruptDataError

PAGE = 1024
PACKETS = 4
every_method = pytest.mark.parametrize("method", METHODS)


@cache
def channel(method: str) -> list[tuple[bytes, bytes]]:
    """Return the (pages, payload) of a channel's packets."""
    encoder = create_encoder(method, None, page_size=PAGE)
    return [(pages, encoded(encoder, pages)) for pages in packets(PACKETS, 12, PAGE)]


def first_error(method: str, payloads: list[bytes]) -> tuple[int, list[bytes]]:
    """Decode a channel; return the index of the packet that is refused, and the pages until then.

    Anything but a CorruptDataError escapes and fails the test.
    """
    decoder, pages = create_decoder(method, page_size=PAGE), []
    for index, payload in enumerate(payloads):
        try:
            pages.append(decoded(decoder, payload, len(channel(method)[index][0])))
        except CorruptDataError:
            return index, pages
    return len(payloads), pages


@st.composite
def damaged_channels(draw: st.DrawFn, method: str) -> tuple[int, list[bytes]]:
    """Draw a channel's payloads with 1 to 5 bytes of one packet overwritten."""
    payloads = [payload for _, payload in channel(method)]
    index = draw(st.integers(0, PACKETS - 1))
    damaged = bytearray(payloads[index])
    for _ in range(draw(st.integers(1, 5))):
        damaged[draw(st.integers(0, len(damaged) - 1))] = draw(st.integers(0, 255))
    payloads[index] = bytes(damaged)
    return index, payloads


@every_method
@given(data=st.data())
def test_overwritten_bytes(method: str, data: st.DataObject) -> None:
    index, payloads = data.draw(damaged_channels(method))
    refused, pages = first_error(method, payloads)
    assert refused >= index
    assert pages[:index] == [sound for sound, _ in channel(method)][:index]
    if method == "qatzip" and refused > index:  # its CRC-32 lets no other pages pass
        assert pages == [sound for sound, _ in channel(method)]


@every_method
def test_every_flipped_bit_of_the_first_bytes_and_many_others(method: str) -> None:
    payloads = [payload for _, payload in channel(method)]
    source = random.Random(method)
    bits = list(range(400)) + source.sample(range(400, 8 * len(payloads[0])), 400)
    refused = 0
    for bit in bits:
        damaged = bytearray(payloads[0])
        damaged[bit // 8] ^= 1 << bit % 8
        refused += first_error(method, [bytes(damaged), *payloads[1:]])[0] < PACKETS
    # Raw pages carry nothing to notice damage by; all others notice some of it at least.
    assert (refused == 0) == (method == "none")


@every_method
@given(data=st.data())
def test_a_shortened_packet_is_refused_at_once(method: str, data: st.DataObject) -> None:
    payloads = [payload for _, payload in channel(method)]
    index = data.draw(st.integers(0, PACKETS - 1))
    payloads[index] = payloads[index][: data.draw(st.integers(0, len(payloads[index]) - 1))]
    assert first_error(method, payloads)[0] == index


@every_method
@given(index=st.integers(0, PACKETS - 1), tail=st.binary(min_size=1, max_size=40))
def test_bytes_left_over_never_reach_the_next_packet(method: str, index: int, tail: bytes) -> None:
    payloads = [payload for _, payload in channel(method)]
    payloads[index] += tail
    refused, pages = first_error(method, payloads)
    assert pages == [sound for sound, _ in channel(method)][:refused]
    if method == "zlib" and tail.endswith(SYNC_MARK):
        assert refused >= index  # looks whole: an empty block, or refused one packet later
    elif method == "zstd":
        assert refused in (index, PACKETS)  # an empty block may stand anywhere in a frame
    else:
        assert refused == index


@every_method
@given(data=st.data())
def test_another_number_of_pages_is_refused_at_once(method: str, data: st.DataObject) -> None:
    pages, payload = channel(method)[0]
    promised = data.draw(st.integers(1, 40).filter(lambda count: count * PAGE != len(pages)))
    with pytest.raises(CorruptDataError):
        decoded(create_decoder(method, page_size=PAGE), payload, promised * PAGE)


@every_method
@given(payloads=st.lists(st.binary(max_size=3000), min_size=1, max_size=3))
def test_any_bytes_at_all(method: str, payloads: list[bytes]) -> None:
    decoder = create_decoder(method, page_size=PAGE)
    for payload in payloads:
        try:
            assert len(decoded(decoder, payload, PAGE)) == PAGE
        except CorruptDataError:
            return


@every_method
@given(data=st.data())
def test_any_bytes_after_a_sound_packet(method: str, data: st.DataObject) -> None:
    pages, payload = channel(method)[0]
    decoder = create_decoder(method, page_size=PAGE)
    assert decoded(decoder, payload, len(pages)) == pages
    tail = b"\0\0\xff\xff" if method == "zlib" else b""
    try:
        decoded(decoder, data.draw(st.binary(max_size=3000)) + tail, PAGE)
    except CorruptDataError:
        return


@every_method
def test_a_channel_of_another_method_is_refused(method: str) -> None:
    for other in METHODS:
        if other != method and "none" not in (other, method):
            assert first_error(method, [channel(other)[0][1]])[0] == 0, other
