"""Forged save files with right CRCs: one sentence for each, or a file that does no harm."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from test_archive import receive

from fakes_wire import Guest, Script
from forging import Forger, forge
from ramferry.errors import CorruptDataError, RamferryError
from ramferry.flows.archive.reader import Archive
from ramferry.flows.ends.archive_sink import ArchiveSink
from ramferry.flows.ends.archive_source import with_return_path
from ramferry.flows.inspection import inspect_archive
from ramferry.report.inspection import print_inspection
from ramferry.transport.safefile import SafeFile

TRIALS = 200
"""Of each of four saved guests."""


@pytest.fixture(scope="module", params=["none", "zlib", "zstd", "qatzip"])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A saved guest's file, of a few chunks in two blocks, some of them superseded."""
    folder = tmp_path_factory.mktemp("sound")
    guest = Guest("none", page_size=1024, rounds=3, pages=9, zeros=3, whole=True)
    with SafeFile(folder / "state", replace=True, like=None) as file:
        sink = ArchiveSink(file, request.param, None)
        assert receive(folder, Script(guest), sink, page_size=1024).completed
    return (folder / "state").read_bytes()


def restored(path: Path, *, framed: bool) -> None:
    """Read all that ``restore`` reads; fails where a page would come twice, never or outside."""
    buffer = memoryview(bytearray(512 * 1024))
    with Archive(path) as archive:
        page = archive.directory.page_size
        seen = {block.name: np.zeros(block.size // page, int) for block in archive.directory.blocks}
        for number, block in enumerate(archive.directory.blocks):
            seen[block.name][archive.zero_pages(number) // page] += 1
        for batch in archive.batches(framed=framed and archive.framed_for({"zstd"})):
            pages = batch.load(buffer)
            assert (pages.normal % page == 0).all()
            assert pages.payload or len(pages.data) == len(pages.normal) * page
            np.add.at(seen[pages.block], pages.normal // page, 1)
        with_return_path(archive.stream.head)
        bytes.fromhex(archive.directory.uuid)
    assert all((counts == 1).all() for counts in seen.values()), "a page is missing, or there twice"


def judged(path: Path, *, framed: bool = False) -> str:
    """What ``restore``'s reader says of a file: its error's sentence, or nothing."""
    try:
        restored(path, framed=framed)
    except RamferryError as error:
        return str(error)
    return ""


def inspected(path: Path) -> str:
    """What ``inspect`` says of it."""
    try:
        found = inspect_archive(path)
    except RamferryError as error:
        return str(error)
    print_inspection(found, Console(file=io.StringIO(), width=200))
    return found.fault


def test_a_sound_file_is_sound(sound: bytes, tmp_path: Path) -> None:
    path = tmp_path / "sound"
    path.write_bytes(sound)
    assert judged(path) == judged(path, framed=True) == inspected(path) == ""


def test_each_forged_file_is_refused_in_a_sentence_or_does_no_harm(
    sound: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "forged"
    done = {"refused": 0, "accepted": 0}
    for seed in range(TRIALS):
        what = forge(sound, seed, path)
        try:
            sentence, shown = judged(path), inspected(path)
            judged(path, framed=True)
        except Exception as error:
            raise AssertionError(f"{what}, seed {seed}: {error!r}") from error
        assert "\n" not in sentence + shown, f"{what}, seed {seed}: {sentence!r}, {shown!r}"
        assert bool(sentence) == bool(shown), f"{what}, seed {seed}: {sentence!r}, {shown!r}"
        done["refused" if sentence else "accepted"] += 1
    assert done["refused"] > TRIALS // 2
    assert done["accepted"] > 0, "nothing that does no harm was tried"


@pytest.mark.parametrize("count", [1, 5])
def test_a_file_without_all_of_the_guest_is_damaged(
    sound: bytes, tmp_path: Path, count: int
) -> None:
    """As a save leaves it whose source keeps memory to itself (x-ignore-shared)."""
    path, forger = tmp_path / "lacking", Forger(sound)
    zeros = np.unpackbits(np.frombuffer(forger.parts["zero"], np.uint8))
    zeros[np.flatnonzero(zeros)[:count]] = 0
    forger.parts["zero"] = bytearray(np.packbits(zeros).tobytes())
    forger.lay_out()
    path.write_bytes(forger.build())
    sentence = f"RAM block 'pc.ram', received a file that lacks {count} of 256"
    with pytest.raises(CorruptDataError, match=sentence):
        Archive(path)
    found = inspect_archive(path)
    assert sentence in found.fault
    assert found.blocks[0].size == 256 * 1024, "what is readable is told"
