"""Looks into save files and recorded migrations, without a QEMU.

A recording is what the connections carried from the source to the destination, one file for each,
told apart by their first bytes; it may be wrapped in gzip, zstd or libvirt's image. Damage is
reported together with everything that came before it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ramferry.errors import CorruptDataError, UsageError, unreadable
from ramferry.flows.archive.format import OPENING, Directory
from ramferry.flows.archive.reader import Archive, directory_of
from ramferry.flows.inlet.callers import MAIN_MAGIC, MULTIFD_MAGIC
from ramferry.flows.recording import Recording, devices_of
from ramferry.flows.unwrapping import Unwrapped, unwrap
from ramferry.metrics.inspection import InspectedBlock, Inspection
from ramferry.vocabulary import PAGE_SIZE
from ramferry.wire.copying import vm_description


def inspect(file: BinaryIO, *, page_size: int = PAGE_SIZE) -> Inspection:
    """Look into one recording, through whatever it is wrapped in.

    :param file: open for reading; may be a pipe.
    :raise UsageError: it is neither a main channel nor a multifd channel.
    :raise CorruptDataError: it is compressed, and damaged at its beginning.
    """
    recording, found = Recording(page_size), unwrap(file)
    kind = _inspect(recording, found)
    return recording.told(kind, found.wrapping)


def _inspect(recording: Recording, found: Unwrapped) -> str:
    first = found.stream.peek(len(OPENING))
    if found.fault:
        recording.faults.append(found.fault)
    if first.startswith(MAIN_MAGIC):
        recording.main(found.stream)
        return "mapped-ram file" if recording.mapped else "main stream"
    if first.startswith(MULTIFD_MAGIC):
        recording.channel(found.stream)
        return "multifd channel"
    if first.startswith(OPENING[:8]):
        raise UsageError("a save file is read as a file, neither compressed nor through a pipe")
    inside = f", in {' in '.join(reversed(found.wrapping))}" if found.wrapping else ""
    raise UsageError(f"this is neither a save file nor a recorded migration channel{inside}")


def inspect_folder(folder: Path, *, page_size: int = PAGE_SIZE) -> Inspection:
    """Look into a folder with a recording of each connection: main first, whatever the names.

    :raise UsageError: there is no recording in it.
    :raise HostError: a file cannot be read.
    """
    recording = Recording(page_size)
    found = sorted(
        (magic != MAIN_MAGIC, path)
        for path in folder.iterdir()
        if path.is_file() and (magic := _magic(path)) in (MAIN_MAGIC, MULTIFD_MAGIC)
    )
    if not found:
        raise UsageError(f"{folder} holds no recorded migration channel")
    for _, path in found:
        with _opened(path) as file:
            _inspect(recording, unwrap(file))
    return recording.told("recording")


def _magic(path: Path) -> bytes:
    """The first bytes of a recording, unwrapped; empty if the file cannot be read as one."""
    with _opened(path) as file:
        try:
            return unwrap(file).stream.peek(4)
        except UsageError:
            return b""
        except CorruptDataError as error:
            raise CorruptDataError(error.expected, error.received).at(str(path)) from None


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise unreadable(path, error) from error


def is_archive(path: Path) -> bool:
    """Whether a file begins like a save file.

    :raise HostError: it cannot be read.
    """
    with _opened(path) as file:
        return file.read(8) == OPENING[:8]


def inspect_archive(path: Path) -> Inspection:
    """Look into a save file, and check every chunk of it.

    If its index is damaged or cut off, so that no page can be found, the result has only the file's
    size, what its directory says, and the fault.

    :raise UsageError: it is not a save file.
    :raise HostError: it cannot be read.
    """
    try:
        return _inspect_archive(path)
    except CorruptDataError as error:
        directory = directory_of(path)
        return _described(path, directory, fault=f"{error}; no page can be found in it")


def _described(path: Path, directory: Directory | None, **more: Any) -> Inspection:
    """What is known of every save file; without a directory, only its size."""
    return Inspection(
        kind="save file",
        machine="" if directory is None else directory.machine,
        page_size=0 if directory is None else directory.page_size,
        method="" if directory is None else directory.method,
        rounds=0,
        channels=(),
        size=path.stat().st_size,
        created=0.0 if directory is None else directory.created,
        **{"blocks": (), "devices": (), **more},
    )


def _inspect_archive(path: Path) -> Inspection:
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
        return _described(
            path,
            directory,
            blocks=tuple(blocks),
            devices=devices_of(vm_description(archive.stream.tail)),
            fault=_first_damage(archive),
        )


def _first_damage(archive: Archive) -> str:
    """What the file lacks, and which of its chunks is the first damaged one; empty if it is
    sound."""
    faults = archive.faults()
    buffer = memoryview(bytearray(512 * 1024))
    try:
        for batch in archive.batches():
            batch.load(buffer)
    except CorruptDataError as error:
        faults.append(error)
    return "; ".join(map(str, faults))
