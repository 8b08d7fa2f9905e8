from __future__ import annotations

import pytest

from codec_samples import PAGE, decoded, sample_pages
from ramferry.codec.none import NoneDecoder, NoneEncoder
from ramferry.errors import CorruptDataError


def test_the_payload_is_the_callers_own_pages() -> None:
    pages = memoryview(sample_pages(3))
    [part] = NoneEncoder().encode(pages)
    assert part is pages


def test_a_payload_is_copied_whole() -> None:
    pages = sample_pages(5)
    assert decoded(NoneDecoder(PAGE), pages, len(pages)) == pages


def test_payload_and_pages_may_be_the_same_memory() -> None:
    buffer = bytearray(sample_pages(2))
    NoneDecoder(PAGE).decode(memoryview(buffer), memoryview(buffer))
    assert buffer == sample_pages(2)


def test_it_says_that_the_caller_may_receive_in_place() -> None:
    assert NoneDecoder(PAGE).verbatim


@pytest.mark.parametrize("size", [0, PAGE - 1, PAGE + 1])
def test_another_size_is_corrupt(size: int) -> None:
    with pytest.raises(CorruptDataError, match=f"expected 4096 bytes of pages, received {size} b"):
        decoded(NoneDecoder(PAGE), bytes(size), PAGE)


def test_a_payload_may_be_exactly_as_long_as_its_pages() -> None:
    assert NoneDecoder(1024).max_payload(7) == 7 * 1024
