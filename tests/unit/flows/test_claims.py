"""Which pages a save file may lack: those that QEMU leaves out because they have no content."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fakes_wire import (
    EOS,
    FLUSH,
    block_list,
    configuration,
    end_of_stream,
    header,
    ram_start,
)
from ramferry.errors import CorruptDataError
from ramferry.flows.archive.claims import check_coverage, check_stream
from ramferry.flows.archive.format import Block, Directory
from ramferry.flows.contracts import MainStream

BLOCKS = {"pc.ram": 1 << 20, "0000:00:03.0/vmem0": 1 << 20}
SHARED = (
    b"\x05\x1aconfiguration/capabilities"
    + bytes.fromhex("00000001 00000001 0f")
    + b"x-ignore-shared"
)
LACKS = "expected every page of RAM block {!r}, received a file that lacks {} of 256"


def directory() -> Directory:
    return Directory(
        machine="pc-i440fx-7.2",
        page_size=4096,
        mode="round",
        uuid="0" * 32,
        method="zstd",
        level=1,
        backend="zstd",
        created=0.0,
        ram_section=2,
        blocks=tuple(Block(name, size) for name, size in BLOCKS.items()),
        parts={},
    )


def stream(*, device: str = "timer", hints: bool = False, shared: bool = False) -> MainStream:
    text = b'{"devices": [{"name": "%s"}]}' % device.encode()
    balloon = b"\x05\x26virtio-balloon-device/free-page-report" if hints else b""
    head = header() + configuration() + (SHARED if shared else b"")
    # no address behind each block's size: the list is not read with this capability in these tests
    whole = head + ram_start(block_list(BLOCKS) + FLUSH + EOS)
    end = whole.index(FLUSH + EOS)
    return MainStream(whole[:end], 2, b"", balloon + end_of_stream(text))


def told(missing: list[int], found: MainStream) -> list[str]:
    return [str(error) for error in check_coverage(directory(), found, missing)]


def test_a_file_with_every_page_lacks_none() -> None:
    assert told([0, 0], stream()) == []


def test_each_block_that_lacks_pages_is_named() -> None:
    assert told([3, 256], stream()) == [
        LACKS.format("pc.ram", 3),
        LACKS.format("0000:00:03.0/vmem0", 256),
    ]


def test_memory_of_a_virtio_mem_may_be_unplugged() -> None:
    found = stream(device="0000:00:03.0/virtio-mem")
    assert told([0, 256], found) == []
    assert told([1, 256], found) == [LACKS.format("pc.ram", 1)], "another block's may not"
    other = stream(device="0000:00:04.0/virtio-mem")
    assert told([0, 256], other) == [LACKS.format("0000:00:03.0/vmem0", 256)]


def test_a_balloon_may_name_free_pages() -> None:
    assert told([9, 9], stream(hints=True)) == []


def test_shared_memory_that_was_left_out_has_its_name() -> None:
    (sentence,) = told([256, 0], stream(shared=True))
    assert sentence == LACKS.format("pc.ram", 256) + " (it was saved with x-ignore-shared)"


def test_the_directory_speaks_of_the_streams_guest() -> None:
    check_stream(directory(), stream())
    smaller = (Block("pc.ram", 4096), directory().blocks[1])
    for other in ({"machine": "pc"}, {"ram_section": 3}, {"blocks": ()}, {"blocks": smaller}):
        with pytest.raises(CorruptDataError, match="the directory's machine and RAM blocks"):
            check_stream(replace(directory(), **other), stream())
    for part in (stream().head[:-1], stream().head + FLUSH, b"", b"QEVM\0\0\0\x09"):
        with pytest.raises(CorruptDataError):
            check_stream(directory(), MainStream(part, 2, b"", stream().tail))
    for tail in (b"", stream().tail[:-1], stream().tail + b"\0"):
        with pytest.raises(CorruptDataError, match="and its end"):
            check_stream(directory(), MainStream(stream().head, 2, b"", tail))
