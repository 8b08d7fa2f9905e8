"""A look into save files and recorded migrations: everything that can be told without a QEMU.

A recording is what the connections carried from the source to the destination: one file each, told
apart by their first bytes. What is damaged is named, and what came before it is told all the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from ramferry.errors import CorruptDataError, HostError, UsageError
from ramferry.flows.archive.format import OPENING
from ramferry.flows.archive.reader import Archive
from ramferry.flows.lobby import MAIN_MAGIC, MULTIFD_MAGIC
from ramferry.flows.recording import CHUNK, Recording, devices_of
from ramferry.metrics import InspectedBlock, Inspection
from ramferry.wire.copying import vm_description


def inspect(file: BinaryIO, *, page_size: int = 4096) -> Inspection:
    """Look into one recording.

    :param file: open for reading, a pipe too.
    :raise UsageError: it is neither a main channel nor a multifd channel.
    """
    recording = Recording(page_size)
    return recording.told(_inspect(recording, file))


def _inspect(recording: Recording, file: BinaryIO) -> str:
    first = file.read(CHUNK)
    if first.startswith(MAIN_MAGIC):
        recording.main(file, first)
        return "main stream"
    if first.startswith(MULTIFD_MAGIC):
        recording.channel(file, first)
        return "multifd channel"
    raise UsageError("this is neither a save file nor a recorded migration channel")


def inspect_folder(folder: Path, *, page_size: int = 4096) -> Inspection:
    """Look into a folder with a recording of each connection: main first, whatever the names.

    :raise UsageError: there is no recording in it.
    :raise HostError: a file cannot be read.
    """
    recording = Recording(page_size)
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_file():
            with _opened(path) as file:
                magic = file.read(4)
            if magic in (MAIN_MAGIC, MULTIFD_MAGIC):
                found.append((magic != MAIN_MAGIC, path))
    if not found:
        raise UsageError(f"{folder} holds no recorded migration channel")
    for _, path in sorted(found):
        with _opened(path) as file:
            _inspect(recording, file)
    return recording.told("recording")


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise HostError(f"cannot read {path}: {error.strerror}") from error


def is_archive(path: Path) -> bool:
    """Whether a file begins as a save file does.

    :raise HostError: it cannot be read.
    """
    with _opened(path) as file:
        return file.read(8) == OPENING[:8]


def inspect_archive(path: Path) -> Inspection:
    """Look into a save file, and check every chunk of it.

    :raise CorruptDataError: its index is damaged, so that nothing can be told.
    """
    with Archive(path, partial=True) as archive:
        directory = archive.directory
        blocks = []
        for number, block in enumerate(directory.blocks):
            rows = archive.chunks[archive.chunks["block"] == number]
            pages, payload = int(rows["pages"].sum()), int(rows["size"].sum(dtype=np.int64))
            content = pages * directory.page_size
            told = (block.name, block.size, pages, len(archive.zero_pages(number)))
            superseded = archive.superseded(number)
            blocks.append(
                InspectedBlock(*told, superseded, payload, content / payload if payload else 0.0)
            )
        return Inspection(
            kind="save file",
            machine=directory.machine,
            page_size=directory.page_size,
            method=directory.method,
            rounds=0,
            blocks=tuple(blocks),
            channels=(),
            devices=devices_of(vm_description(archive.stream.tail)),
            fault=_first_damage(archive),
        )


def _first_damage(archive: Archive) -> str:
    """What the file lacks, and the first of its chunks that is not sound."""
    faults = archive.faults()
    buffer = memoryview(bytearray(512 * 1024))
    try:
        for batch in archive.batches():
            batch.load(buffer)
    except CorruptDataError as error:
        faults.append(error)
    return "; ".join(map(str, faults))
