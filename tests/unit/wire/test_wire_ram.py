"""Ram's records: each as bytes, what makes each invalid, both sync modes, runs of zero pages."""

from __future__ import annotations

import struct

import pytest

from ramferry.errors import RemoteProtocolError
from ramferry.wire import ram
from ramferry.wire.events import BlockEntry, BlockList, PageRun
from ramferry.wire.grammar import MAX_BLOCKS
from ramferry.wire.main import MainParser
from ramferry.wire.ram import page_run, zero_run
from wire_streams import (
    CONFIGURATION,
    CONTINUE,
    EOS,
    FLUSH,
    HEADER,
    PAGE,
    PAGE_FLAG,
    RAM_ID,
    ZERO,
    Stream,
    begun,
    block_list,
    command,
    counted,
    feed,
    footer,
    marks,
    part,
    record,
    start,
)

RAM = counted(b"pc.ram")
XBZRLE, HOOK, COMPRESS = 0x40, 0x80, 0x100


def counts(*records: bytes) -> tuple[int, int]:
    """Pages and zero pages of a PART with these records, whole and byte by byte."""
    stream = begun()
    stream.ram(*records)
    seen = set()
    for size in (1, 7, len(stream.data)):
        parser = MainParser()
        events = []
        for at in range(0, len(stream.data), size):
            events += parser.feed(stream.data[at : at + size])
        assert marks(events) == stream.marks
        seen.add((parser.pages, parser.zero_pages))
    (one,) = seen
    return one


def refused(*records: bytes, after: bytes | None = None) -> str:
    """How a PART with these records is refused."""
    data = (bytes(begun().data) + part(RAM_ID) if after is None else after) + b"".join(records)
    _, whole = feed(data)
    _, single = feed(data, range(len(data)))
    assert whole == single
    assert whole
    assert "the rest of the stream" not in whole
    return whole


def test_block_list() -> None:
    raw = bytes.fromhex(
        "0000000000043004"  # total of 0x43000, MEM_SIZE
        "06 70632e72616d 0000000000042000"
        "04 726f6d30 0000000000001000"
    )
    head = HEADER + CONFIGURATION + start(RAM_ID, b"ram", 4)
    blocks = (BlockEntry("pc.ram", 0x42000, PAGE), BlockEntry("rom0", 0x1000, PAGE))
    parser = MainParser()
    parser.feed(head + raw[:-1])
    assert not parser.blocks
    assert parser.feed(raw[-1:]) == [BlockList(len(head), len(head) + len(raw), blocks, 0x43000)]
    assert list(parser.blocks.values()) == list(blocks)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (block_list([(b"a", PAGE), (b"a", PAGE)]), "each RAM block once, received block 'a' again"),
        (block_list([(b"", PAGE)]), "a RAM block name of 1 to 255 bytes, received 0 bytes"),
        (block_list([(b"a", PAGE + 1)], 2 * PAGE), "block 'a' of 0x1001 bytes"),
        (block_list([(b"a", 3 * PAGE)], 2 * PAGE), "0x2000 bytes left, received block 'a' of 0x30"),
        (block_list([(b"a", PAGE)], 2 * PAGE) + record(0, EOS), "RAM block name of 1 to 255 bytes"),
        (record(0, EOS), "the block list, received the end of ram's START"),
        (record(0, FLUSH), "the block list, received MULTIFD_FLUSH"),
        (record(0, ZERO, RAM + b"\0"), "a RAM block of this guest, received block 'pc.ram'"),
        (block_list([(b"a", PAGE)]) * 2, "one block list, received another one"),
    ],
)
def test_a_bad_block_list_is_refused(raw: bytes, sentence: str) -> None:
    assert sentence in refused(raw, after=HEADER + CONFIGURATION + start(RAM_ID, b"ram", 4))


def test_the_number_of_blocks_is_bounded() -> None:
    blocks = [(f"b{index}".encode(), PAGE) for index in range(MAX_BLOCKS + 1)]
    head = HEADER + CONFIGURATION + start(RAM_ID, b"ram", 4)
    with pytest.raises(RemoteProtocolError, match=f"at most {MAX_BLOCKS} RAM blocks"):
        MainParser().feed(head + block_list(blocks))
    assert len(MainParser().feed(head + block_list(blocks[:-1]))) == 4


def test_shared_memory_adds_an_address_to_each_block() -> None:
    shared = b"\x05" + counted(b"configuration/capabilities") + struct.pack(">II", 1, 1)
    head = HEADER + CONFIGURATION + shared + counted(b"x-ignore-shared")
    entries = b"".join(
        counted(name) + struct.pack(">QQ", PAGE, 0xFFFC0000) for name in (b"one", b"two")
    )
    parser = MainParser()
    parser.feed(head + start(RAM_ID, b"ram", 4) + record(2 * PAGE, 0x04) + entries)
    assert list(parser.blocks) == ["one", "two"]


def test_postcopy_with_huge_pages_is_refused() -> None:
    advice = command(3, struct.pack(">QQ", 0x201000, PAGE))
    raw = start(RAM_ID, b"ram", 4) + block_list([(b"a", PAGE)])
    assert "RAM of one page size" in refused(raw, after=HEADER + CONFIGURATION + advice)
    same = command(3, struct.pack(">QQ", 0x1000, PAGE))
    assert feed(HEADER + CONFIGURATION + same + raw)[0]


def test_page_records() -> None:
    assert counts(record(0, PAGE_FLAG, RAM + bytes(PAGE))) == (1, 0)
    assert counts(
        record(0, PAGE_FLAG, RAM + b"\x10" * PAGE), record(PAGE, PAGE_FLAG | CONTINUE, bytes(PAGE))
    ) == (2, 0)


def test_zero_records() -> None:
    assert counts(record(63 * PAGE, ZERO, RAM + b"\0")) == (0, 1)
    assert counts(
        record(0, ZERO, RAM + b"\0"),
        record(PAGE, ZERO | CONTINUE, b"\0"),
        record(0, ZERO, RAM + b"\0"),
    ) == (0, 3)


def test_xbzrle_records() -> None:
    delta = b"\x01" + struct.pack(">H", 5) + b"delta"
    most = b"\x01" + struct.pack(">H", PAGE) + bytes(PAGE)
    assert counts(record(0, XBZRLE, RAM + delta), record(0, XBZRLE | CONTINUE, most)) == (2, 0)
    assert "XBZRLE encoding 1, received 2" in refused(record(0, XBZRLE, RAM + b"\x02"))
    too_long = b"\x01" + struct.pack(">H", PAGE + 1)
    assert "at most 4096 bytes of XBZRLE data" in refused(record(0, XBZRLE, RAM + too_long))


def test_compressed_records() -> None:
    assert counts(record(0, COMPRESS, RAM + struct.pack(">I", 3) + b"abc")) == (1, 0)
    largest = PAGE + 1 + 13  # compressBound(4096)
    body = struct.pack(">I", largest) + bytes(largest)
    assert counts(record(0, COMPRESS, RAM + body)) == (1, 0)
    too_long = struct.pack(">I", largest + 1)
    assert f"at most {largest} bytes" in refused(record(0, COMPRESS, RAM + too_long))


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (record(0, ZERO | CONTINUE, b"\0"), "names its RAM block, received CONTINUE before any"),
        (record(0, ZERO, RAM + b"\1"), "a zero page's fill byte of 0, received 0x01"),
        (record(64 * PAGE, ZERO, RAM), "inside 'pc.ram' of 0x40000 bytes, received 0x40000"),
        (record(1 << 63, PAGE_FLAG, RAM), "received 0x8000000000000000"),
        (record(0, ZERO, counted(b"vga")), "a RAM block of this guest, received block 'vga'"),
        (record(0, ZERO, b"\0"), "a RAM block name of 1 to 255 bytes"),
        (record(0, ZERO | PAGE_FLAG), "a RAM record, received 0xa"),
        (record(0, 0), "a RAM record, received 0x0"),
        (record(0, 0x01), "a RAM record, received 0x1"),
        (record(0, 0x400), "a RAM record, received 0x400"),
        (record(0x123, ZERO), "a RAM record, received 0x123"),
        (record(PAGE, EOS), "a RAM record, received 0x1010"),
        (record(0, EOS | CONTINUE), "a RAM record, received 0x30"),
        (record(PAGE, FLUSH), "a RAM record, received 0x1200"),
        (record(0, HOOK), "a record of RDMA, which cannot be carried"),
    ],
)
def test_a_bad_record_is_refused(raw: bytes, sentence: str) -> None:
    error = refused(raw)
    assert sentence in error
    assert ("RDMA" in error) == ("RDMA" in sentence)


def test_the_largest_compressed_page_of_64_kib() -> None:
    bits = b"\x05" + counted(b"configuration/target-page-bits") + struct.pack(">II", 1, 16)
    head = HEADER + CONFIGURATION + bits + start(RAM_ID, b"ram", 4)
    head += block_list([(b"pc.ram", 65536)]) + record(0, EOS) + footer(RAM_ID) + part(RAM_ID)
    largest = 65536 + 16 + 4 + 13  # zlib's compressBound(65536)
    parser = MainParser()
    parser.feed(head + record(0, COMPRESS, RAM + struct.pack(">I", largest)))
    error = refused(record(0, COMPRESS, RAM + struct.pack(">I", largest + 1)), after=head)
    assert f"at most {largest} bytes of a compressed page" in error


def test_the_current_block_outlives_its_section() -> None:
    stream = begun()
    stream.ram(record(0, ZERO, RAM + b"\0"))
    stream.ram(record(PAGE, ZERO | CONTINUE, b"\0"))
    parser = MainParser()
    parser.feed(bytes(stream.data))
    assert parser.zero_pages == 2


@pytest.mark.parametrize("rounds", [False, True], ids=["section", "round"])
def test_marks_of_both_modes(rounds: bool) -> None:
    stream = Stream(rounds=rounds)
    stream.ram_start([(b"pc.ram", 4 * PAGE)])
    stream.ram(record(0, ZERO, RAM + b"\0"))
    stream.ram(flush=False)
    stream.ram(kind=3)
    data = bytes(stream.data)
    parser = MainParser()
    assert marks(parser.feed(data)) == stream.marks
    assert len(stream.marks) == (3 if rounds else 4)
    assert parser.mode == ("round" if rounds else "section")
    for first, last in stream.marks:
        assert data[first:last] == (record(0, FLUSH) if rounds else record(0, EOS))


def test_marks_are_numbered_from_zero() -> None:
    stream = begun()
    stream.ram()
    stream.ram(kind=3)
    events, _ = feed(bytes(stream.data))
    assert [event.index for event in events if hasattr(event, "index")] == [0, 1, 2]


def test_the_mode_is_unknown_until_rams_first_section_says() -> None:
    parser = MainParser()
    parser.feed(HEADER + CONFIGURATION + start(RAM_ID, b"ram", 4) + block_list([(b"a", PAGE)]))
    assert parser.mode is None
    parser.feed(record(0, FLUSH))
    assert parser.mode == "round"


def test_a_flush_in_section_mode_is_refused() -> None:
    assert "no MULTIFD_FLUSH where ram's START had none" in refused(record(0, FLUSH))


def test_other_page_sizes() -> None:
    bits = b"\x05" + counted(b"configuration/target-page-bits") + struct.pack(">II", 1, 16)
    big = 65536
    head = HEADER + CONFIGURATION + bits + start(RAM_ID, b"ram", 4) + block_list([(b"a", 2 * big)])
    parser = MainParser()
    parser.feed(head + record(0, EOS) + footer(RAM_ID) + part(RAM_ID))
    assert parser.page_size == big
    parser.feed(record(big, PAGE_FLAG, counted(b"a") + bytes(big)))
    assert parser.pages == 1
    with pytest.raises(RemoteProtocolError, match="a RAM record, received 0x1022"):
        parser.feed(record(PAGE, ZERO | CONTINUE, b"\0"))


def run_of(count: int, first: int = 0) -> bytes:
    return b"".join(record((first + k) * PAGE, ZERO | CONTINUE, b"\0") for k in range(count))


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 383, 384, 385, 5000])
@pytest.mark.parametrize(
    "behind",
    [
        b"",
        b"\0" * 8,
        record(0, EOS) + b"\0",
        record(0, PAGE_FLAG | CONTINUE, b"\0"),
        record(0, ZERO | CONTINUE, b"\1"),
        record(0x10000 * PAGE, ZERO | CONTINUE, b"\0"),
        record(0, ZERO | CONTINUE | 0x800, b"\0"),
    ],
    ids=["nothing", "a cut", "EOS", "PAGE", "fill byte", "outside", "unaligned"],
)
def test_zero_run_stops_before_what_is_no_zero_record(count: int, behind: bytes) -> None:
    raw = b"abc" + run_of(count) + behind
    assert zero_run(memoryview(raw), 3, PAGE, 0x10000 * PAGE) == count


def test_zero_run_ends_with_the_block() -> None:
    assert zero_run(memoryview(run_of(10, first=5)), 0, PAGE, 9 * PAGE) == 4
    assert zero_run(memoryview(record(2**64 - PAGE, ZERO | CONTINUE, b"\0")), 0, PAGE, 2**63) == 0


def test_a_long_run_is_counted_whatever_the_pieces() -> None:
    blocks = [(b"pc.ram", 8000 * PAGE)]
    stream = begun(blocks=blocks)
    stream.ram(record(0, ZERO, RAM + b"\0"), run_of(7999, first=1))
    for size in (10, 1000, 4096, 65536, len(stream.data)):
        parser = MainParser()
        for at in range(0, len(stream.data), size):
            parser.feed(stream.data[at : at + size])
        assert parser.zero_pages == 8000


def test_runs_are_not_read_record_by_record(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []

    def counting(*where: object) -> int:
        found.append(zero_run(*where))  # type: ignore[arg-type]
        return found[-1]

    monkeypatch.setattr(ram, "zero_run", counting)
    stream = begun(blocks=[(b"pc.ram", 8000 * PAGE)])
    stream.ram(record(0, ZERO, RAM + b"\0"), run_of(7999, first=1))
    MainParser().feed(bytes(stream.data))
    assert found == [7999]


def test_a_bad_record_inside_a_run_is_named_where_it_stands() -> None:
    blocks = [(b"pc.ram", 8000 * PAGE)]
    stream = begun(blocks=blocks)
    stream.add(part(RAM_ID), record(0, ZERO, RAM + b"\0"), run_of(3000))
    at = len(stream.data)
    stream.add(record(8000 * PAGE, ZERO | CONTINUE, b"\0"), run_of(100))
    _, error = feed(bytes(stream.data))
    assert error.endswith(f"received {8000 * PAGE:#x} (up to byte {at + 8})")


def content(number: int) -> bytes:
    return number.to_bytes(2, "big") * (PAGE // 2)


def pages_of(count: int, first: int = 0) -> bytes:
    return b"".join(
        record((first + k) * PAGE, PAGE_FLAG | CONTINUE, content(first + k)) for k in range(count)
    )


@pytest.mark.parametrize("count", [0, 1, 63, 128])
@pytest.mark.parametrize(
    "behind",
    [
        b"",
        record(0, PAGE_FLAG | CONTINUE, content(1)[:-1]),
        record(0, EOS) + bytes(PAGE),
        record(0, ZERO | CONTINUE, bytes(PAGE)),
        record(0, PAGE_FLAG, RAM + content(1)),
        record(0x1000 * PAGE, PAGE_FLAG | CONTINUE, content(1)),
        record(0, PAGE_FLAG | CONTINUE | 0x800, content(1)),
    ],
    ids=["nothing", "a cut", "EOS", "ZERO", "another block", "outside", "unaligned"],
)
def test_page_run_stops_before_what_is_no_page_of_the_block(count: int, behind: bytes) -> None:
    raw = b"abc" + pages_of(count) + behind
    assert page_run(memoryview(raw), 3, PAGE, 0x1000 * PAGE) == count
    assert page_run(memoryview(raw), len(raw) + 5, PAGE, 0x1000 * PAGE) == 0


@pytest.mark.parametrize("size", [1, 4097, 65536, 1 << 20])
def test_pages_come_whole_and_in_order_whatever_the_pieces(size: int) -> None:
    stream = begun(blocks=[(b"pc.ram", 300 * PAGE), (b"rom", 8 * PAGE)])
    stream.ram(
        record(0, PAGE_FLAG, RAM + content(0)),
        pages_of(40, first=1),
        record(41 * PAGE, ZERO | CONTINUE, b"\0"),
        pages_of(2, first=42),
        record(3 * PAGE, PAGE_FLAG, b"\3rom" + content(3)),
        pages_of(4, first=4),
        record(50 * PAGE, PAGE_FLAG, RAM + content(50)),
    )
    parser, found = MainParser(give_pages=True), []
    for at in range(0, len(stream.data), size):
        for event in parser.feed(bytes(stream.data[at : at + size])):
            if isinstance(event, PageRun):
                rows = [row.tobytes() for row in event.content]
                found += [
                    (event.block, at // PAGE, row)
                    for at, row in zip(event.offsets.tolist(), rows, strict=True)
                ]
    expected = [("pc.ram", k) for k in [*range(41), 42, 43]]
    expected += [("rom", k) for k in range(3, 8)] + [("pc.ram", 50)]
    assert found == [(block, k, content(k)) for block, k in expected]
    assert parser.pages == len(expected)


def test_pages_are_not_read_one_by_one() -> None:
    stream = begun(blocks=[(b"pc.ram", 300 * PAGE)])
    stream.ram(record(0, PAGE_FLAG, RAM + content(0)), pages_of(200, first=1))
    events = MainParser(give_pages=True).feed(bytes(stream.data))
    (run,) = (event for event in events if isinstance(event, PageRun))
    assert run.content.shape == (201, PAGE)
