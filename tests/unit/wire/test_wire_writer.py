"""Pieces of main that a sender writes: their bytes, and that the parser reads them so."""

from __future__ import annotations

import numpy as np
import pytest

from fakes_wire import block_list, configuration, header, ram_start
from ramferry.wire.events import PageRun, SyncMark, ZeroPages
from ramferry.wire.grammar import SectionType
from ramferry.wire.main import MainParser
from ramferry.wire.ram import Mode
from ramferry.wire.writer import EOS, FLUSH, command, round_end, section, zero_records


def test_bytes() -> None:
    assert bytes.fromhex("0000000000000010") == EOS
    assert bytes.fromhex("0000000000000200") == FLUSH
    assert command(1) == bytes.fromhex("0800010000")
    assert command(2, b"\0\0\0\1") == bytes.fromhex("080002000400000001")
    assert section(SectionType.PART, 2) == bytes.fromhex("0200000002")
    assert section(SectionType.END, 259) == bytes.fromhex("0300000103")
    assert round_end(2, "section") == (EOS, bytes.fromhex("7e00000002"))
    assert round_end(2, "round") == (FLUSH, EOS + bytes.fromhex("7e00000002"))
    assert round_end(2, "round", synced=False) == (b"", EOS + bytes.fromhex("7e00000002"))
    offsets = np.array([0x1000, 0x5000], np.uint64)
    assert zero_records("ab", offsets) == bytes.fromhex(
        "0000000000001002 02 6162 00 0000000000005022 00"
    )
    assert zero_records("ab", offsets[:0]) == b""


@pytest.mark.parametrize("mode", ["section", "round"])
@pytest.mark.parametrize("step", [1, 7, 100000])
def test_the_parser_gives_back_what_was_written(mode: Mode, step: int) -> None:
    first = (FLUSH if mode == "round" else b"") + EOS
    offsets = np.arange(5, 1005, dtype=np.uint64)[::-1] * np.uint64(4096)
    mark, rest = round_end(2, mode)
    page = bytes(range(256)) * 16
    stream = header() + configuration() + ram_start(block_list({"pc.ram": 1005 * 4096}) + first)
    stream += section(SectionType.PART, 2) + zero_records("pc.ram", offsets)
    stream += (0x2000 | 0x08 | 0x20).to_bytes(8, "big") + page + mark + rest
    parser = MainParser(give_pages=True)
    events = [
        event for at in range(0, len(stream), step) for event in parser.feed(stream[at : at + step])
    ]
    zero = [event for event in events if isinstance(event, ZeroPages)]
    assert np.concatenate([event.offsets for event in zero]).tolist() == offsets.tolist()
    assert {event.block for event in zero} == {"pc.ram"}
    (content,) = (event for event in events if isinstance(event, PageRun))
    assert (content.block, content.offsets.tolist()) == ("pc.ram", [0x2000])
    assert content.content.tobytes() == page
    kinds = [type(event) for event in events if isinstance(event, ZeroPages | PageRun | SyncMark)]
    assert kinds[0] is kinds[-1] is SyncMark, "pages stand among the marks where they came"
    assert parser.mode == mode


def test_without_the_wish_pages_are_no_events() -> None:
    stream = header() + configuration() + ram_start(block_list({"a": 40960}) + EOS)
    stream += section(SectionType.PART, 2) + zero_records("a", np.array([0, 4096], np.uint64))
    parser = MainParser()
    assert not any(isinstance(event, ZeroPages) for event in parser.feed(stream))
    assert parser.zero_pages == 2
