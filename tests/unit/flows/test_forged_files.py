"""Forged save files with right CRCs: one sentence for each, or a file that does no harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_archive import receive

from fakes_wire import Guest, Script
from forging import Forger, forge, inspected, judged
from ramferry.errors import CorruptDataError
from ramferry.flows.archive.reader import Archive
from ramferry.flows.ends.archive_sink import ArchiveSink
from ramferry.flows.inspection import inspect_archive
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


def test_a_fields_name_makes_no_line_of_its_own(sound: bytes, tmp_path: Path) -> None:
    path, forger = tmp_path / "quoting", Forger(sound)
    forger.lay_out()
    forger.directory["back\nd\x1b[2J"] = 1
    path.write_bytes(forger.build())
    assert r"unknown field `back\nd\x1b[2J`" in judged(path)
    assert r"unknown field `back\nd\x1b[2J`" in inspected(path)
