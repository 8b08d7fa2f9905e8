"""Guests of more RAM than can be counted page by page: a sentence, before anything is allocated."""

from __future__ import annotations

import io
import json
import tracemalloc
from pathlib import Path

import pytest
from test_archive import receive, saved

from fakes_wire import EOS, FLUSH, MAIN, Guest, Script, block_list, ram_start
from forging import Forger
from ramferry.errors import CorruptDataError, RemoteProtocolError
from ramferry.flows.archive.reader import Archive
from ramferry.flows.contracts import StreamHead, check_ram
from ramferry.flows.ends.archive_sink import ArchiveSink
from ramferry.flows.ends.memory_sink import MemorySink
from ramferry.flows.inspection import inspect
from ramferry.ram.blocks import Ram
from ramferry.transport.safefile import SafeFile

TIB = 1 << 40
SENTENCE = "at most 16 TiB of RAM in pages of 4096 bytes"


def huge(size: int) -> Script:
    """A source that names RAM of this size."""
    script = Script(Guest(method="none"))
    start = ram_start(block_list({"pc.ram": size}) + FLUSH + EOS)
    return script.edit(script.find("start"), lambda _: start)


@pytest.mark.parametrize("page", [1024, 4096, 65536])
def test_as_many_pages_as_have_numbers(page: int) -> None:
    check_ram([page << 32], page)
    check_ram([page << 31, page << 31], page)
    with pytest.raises(RemoteProtocolError, match=rf"at most {page >> 8} TiB .* {page} bytes"):
        check_ram([page << 32, page], page)


@pytest.mark.parametrize("size", [16 * TIB + 4096, 1 << 62])
def test_a_guest_that_is_too_large_is_not_saved(tmp_path: Path, size: int) -> None:
    tracemalloc.start()
    try:
        with SafeFile(tmp_path / "state", replace=True, like=None) as file:
            result = receive(tmp_path, huge(size), ArchiveSink(file, "zstd", 1))
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert not result.completed
    assert SENTENCE in result.error
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("threads", [0, 2])
def test_nor_is_it_received(tmp_path: Path, threads: int) -> None:
    with Ram.create([("pc.ram", 4096)]) as ram:
        sink = MemorySink(ram, lambda _: None)
        result = receive(tmp_path, huge(16 * TIB + 4096), sink, threads=threads)
    assert not result.completed
    assert SENTENCE in result.error


def test_memory_that_is_not_there_has_its_sentence(tmp_path: Path) -> None:
    class Poor(MemorySink):
        def begin(self, head: StreamHead) -> None:
            raise MemoryError(f"no room for {len(head.blocks)} blocks")

    with Ram.create([("pc.ram", 4096)]) as ram:
        result = receive(tmp_path, Script(Guest(method="none")), Poor(ram, lambda _: None))
    assert result.error == "not enough memory: no room for 2 blocks"
    assert not result.completed


def test_a_recording_of_one_is_told_of() -> None:
    found = inspect(io.BytesIO(huge(17 * TIB).stream(MAIN)))
    assert SENTENCE in found.fault
    assert found.machine == "pc-i440fx-7.2"


def test_a_file_that_names_one_is_damaged(tmp_path: Path) -> None:
    path = saved(tmp_path, Script(Guest(whole=True)))
    forger = Forger(path.read_bytes())
    forger.directory["blocks"][0]["size"] = 17 * TIB
    path.write_bytes(forger.build())
    assert json.dumps(17 * TIB).encode() in path.read_bytes()
    with pytest.raises(CorruptDataError, match=SENTENCE):
        Archive(path)
