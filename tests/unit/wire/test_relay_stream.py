"""Pieces of a stream between two Ramferrys, byte for byte, packed and put back in order."""

from __future__ import annotations

import os

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from ramferry.errors import CorruptDataError, RemoteProtocolError
from ramferry.wire.relay_packing import Gathered, PagesAt
from ramferry.wire.relay_stream import (
    HEAD_SIZE,
    MOST,
    RUN,
    Direction,
    PieceHead,
    PieceKind,
    Seal,
    order,
    padded,
)

TOKEN = bytes.fromhex("00000000000000ff") + bytes(8)
PAGE = 4096
ONWARD, BACK = (Seal(TOKEN, way, payloads=True) for way in Direction)


def digest(number: int, data: bytes, way: int = 0) -> int:
    return xxhash.xxh3_64_intdigest(data, 0xFF + 2 * number + way)


def head_of(number: int, method: str, size: int, payload: bytes, content: bytes) -> PieceHead:
    coded = digest(number, payload) if method != "none" else 0
    told = digest(number, content)
    return PieceHead(number, size, len(payload), method, content_digest=told, payload_digest=coded)


WRITTEN = [
    (
        PieceHead(3, 5, 5, content_digest=0x0102030405060708),
        "0000000000000003 00000005 00000005 0000 0000 00 00 00000102030405060708 0000000000000000",
    ),
    (
        PieceHead(1, 8209, 700, "zstd", 2, 1, PieceKind.DATA, 1, 2),
        "0000000000000001 00002011 000002bc 0002 0001 00 04 00000000000000000001 0000000000000002",
    ),
    (
        PieceHead(9, 0, 0, kind=PieceKind.END),
        "0000000000000009 00000000 00000000 0000 0000 01 00 00000000000000000000 0000000000000000",
    ),
]


@pytest.mark.parametrize(("head", "text"), WRITTEN, ids=["plain", "packed", "end"])
def test_a_head_as_bytes_both_ways(head: PieceHead, text: str) -> None:
    raw = bytes.fromhex(text)
    raw += digest(head.number, raw).to_bytes(8, "big")
    assert len(raw) == HEAD_SIZE
    assert ONWARD.encode(head) == raw
    assert ONWARD.parse(memoryview(raw), PAGE) == head


def test_a_head_of_the_other_direction_or_migration_is_none() -> None:
    raw = memoryview(ONWARD.encode(WRITTEN[0][0]))
    for other in (BACK, Seal(bytes(16), Direction.ONWARD, payloads=True)):
        with pytest.raises(RemoteProtocolError, match=r"head as it was sent.*the link between"):
            other.parse(raw, PAGE)


def test_a_flipped_bit_anywhere_in_a_head_is_seen() -> None:
    raw = ONWARD.encode(WRITTEN[1][0])
    for bit in range(8 * HEAD_SIZE):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RemoteProtocolError, match="head as it was sent"):
            ONWARD.parse(memoryview(flipped), PAGE)


@pytest.mark.parametrize(
    "head",
    [
        PieceHead(0, 0, 0),
        PieceHead(0, 5, 6),
        PieceHead(0, MOST + 1, MOST + 1),
        PieceHead(0, 5, 5, pages=1, runs=1),
        PieceHead(0, 0, 5, "zstd"),
        PieceHead(0, 5, 0, "zstd"),
        PieceHead(0, 5, 2 * MOST + 1, "zstd"),
        PieceHead(0, MOST + 1, 5, "zstd"),
        PieceHead(0, MOST, 5, "zstd", 1, 1),
        PieceHead(0, PAGE - 1, 5, "zstd", 1, 1),
        PieceHead(0, PAGE, 5, "zstd", 1, 2),
        PieceHead(0, PAGE, 5, "zstd", 1, 0),
        PieceHead(0, PAGE, 5, "zstd", 0, 1),
        PieceHead(0, 1, 1, kind=PieceKind.END),
        PieceHead(0, 0, 0, content_digest=1, kind=PieceKind.END),
    ],
)
def test_sizes_that_no_piece_has_are_refused(head: PieceHead) -> None:
    with pytest.raises(RemoteProtocolError, match="a piece of 1 to 524288 bytes"):
        ONWARD.parse(memoryview(ONWARD.encode(head)), PAGE)


@pytest.mark.parametrize(("at", "value"), [(20, 2), (21, 1), (21, 64)])
def test_an_unknown_kind_or_method_is_refused(at: int, value: int) -> None:
    raw = bytearray(ONWARD.encode(WRITTEN[0][0])[:-8])
    raw[at] = value
    raw += digest(3, bytes(raw)).to_bytes(8, "big")
    with pytest.raises(RemoteProtocolError, match="a known piece"):
        ONWARD.parse(memoryview(raw), PAGE)


# --- which digest differs says what is to be suspected


def test_a_damaged_payload_is_the_links() -> None:
    head = head_of(4, "zstd", 7, b"payload", b"content")
    ONWARD.check_payload(head, b"payload")
    with pytest.raises(RemoteProtocolError, match=r"payload of piece 4 .*the link between"):
        ONWARD.check_payload(head, b"paylaod")


def test_a_damaged_content_of_a_payload_that_came_is_the_codecs() -> None:
    head = head_of(4, "zstd", 7, b"payload", b"content")
    ONWARD.check_content(head, b"content")
    with pytest.raises(CorruptDataError, match="the codec, or the device"):
        ONWARD.check_content(head, b"contend")


@pytest.mark.parametrize("method", ["none", "zstd"])
def test_without_a_payloads_digest_the_content_tells_of_the_link(method: str) -> None:
    seal = Seal(TOKEN, Direction.ONWARD, payloads=method == "none")
    head = head_of(4, method, 7, b"content", b"content")
    seal.check_payload(head, b"anything")
    with pytest.raises(RemoteProtocolError, match=r"content of piece 4 .*the link between"):
        seal.check_content(head, b"contend")


@given(parts=st.lists(st.binary(max_size=300), max_size=5))
def test_the_digest_of_parts_is_that_of_the_whole(parts: list[bytes]) -> None:
    assert ONWARD.digest_of(7, parts) == ONWARD.digest(7, b"".join(parts))


# --- packing


def test_a_packed_piece_byte_for_byte() -> None:
    piece = Gathered(1024)
    one, two, three = (bytes([c]) * 1024 for c in b"abc")
    assert piece.add(b"<head>") == 6
    stream = b"<1>" + one + b"<2>" + two + b"<3>" + three
    assert piece.add(stream[:3]) == 3
    assert piece.add_pages(memoryview(stream), PagesAt(3, 3, 1027)) == 3
    assert piece.add(b"<tail>") == 6
    size = 3 * 1024 + 3 * 3 + 12
    packed = one + two + three + b"<head><1><2><3><tail>" + RUN.pack(9, 3, 3)
    assert (piece.size, piece.pages, piece.runs) == (size, 3, 1)
    assert piece.content() == packed + bytes(4096 - len(packed))
    head = PieceHead(0, size, 1, "zstd", 3, 1)
    parts = order(head, piece.content(), 1024)
    assert b"".join(parts) == b"<head>" + stream + b"<tail>"


def test_bytes_alone_are_padded_and_left_in_place() -> None:
    piece = Gathered(PAGE)
    piece.add(b"x" * PAGE)
    piece.clear()
    piece.add(b"hello")
    assert piece.plain() == b"hello"
    assert piece.content() == b"hello" + bytes(PAGE - 5)


def test_one_that_does_not_pack_keeps_the_order_and_counts_pages() -> None:
    piece, data = Gathered(1024, packs=False), os.urandom(4000)
    piece.add(data[:100])
    assert piece.add_pages(memoryview(data), PagesAt(100, 3, 1030)) == 3
    assert piece.plain() == data[: 100 + 2 * 1030 + 1024]
    assert (piece.pages, piece.runs) == (3, 0)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 8, 9, 300, 70_000]),  # bytes before
        st.integers(0, 40),  # pages
        st.sampled_from([0, 1, 8, 9, 4000, 70_000]),  # bytes between
    ),
    min_size=1,
    max_size=12,
)


@given(page=st.sampled_from([1024, 4096, 65536]), steps=_STEPS)
def test_what_was_packed_comes_back_in_order(page: int, steps: list[tuple[int, int, int]]) -> None:
    piece, stream = Gathered(page), b""
    for before, pages, between in steps:
        rest = os.urandom(before)
        stream += rest[: piece.add(rest)]
        stride = page + between
        data = memoryview(os.urandom(stride) * pages)
        taken = piece.add_pages(data, PagesAt(0, pages, stride)) if pages else 0
        stream += bytes(data[: taken * stride - between]) if taken else b""
    assert piece.size == len(stream) <= MOST
    content = piece.content()
    head = PieceHead(0, piece.size, 1, "zstd", piece.pages, piece.runs)
    assert len(content) == head.content(page) == padded(len(content), page)
    assert b"".join(order(head, content, page)) == stream


@given(
    runs=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 4), st.integers(0, 20)), max_size=4),
    pages=st.integers(0, 4),
    rest=st.integers(0, 60),
)
def test_any_runs_give_the_whole_piece_or_an_error(
    runs: list[tuple[int, int, int]], pages: int, rest: int
) -> None:
    size = pages * 1024 + rest
    content = os.urandom(size) + b"".join(RUN.pack(*run) for run in runs) + bytes(4096)
    head = PieceHead(0, size, 1, "zstd", pages, len(runs))
    try:
        parts = order(head, memoryview(content), 1024)
    except RemoteProtocolError:
        return
    assert sum(map(len, parts)) == size
    assert sorted(b"".join(parts)) == sorted(content[:size])
