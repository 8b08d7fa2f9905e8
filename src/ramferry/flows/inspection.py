"""A look into save files and recorded migrations: everything that can be told without a QEMU.

A recording is what the connections carried from the source to the destination: one file each, told
apart by their first bytes. What is damaged is named, and what came before it is told all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ramferry.errors import CorruptDataError, HostError, RemoteProtocolError, UsageError
from ramferry.flows.archive.format import OPENING
from ramferry.flows.archive.reader import Archive
from ramferry.flows.lobby import MAIN_MAGIC, MULTIFD_MAGIC
from ramferry.metrics import InspectedBlock, InspectedChannel, InspectedDevice, Inspection
from ramferry.wire.events import (
    BlockList,
    Configuration,
    EndOfStream,
    MainEvent,
    Page,
    SyncMark,
    ZeroPages,
)
from ramferry.wire.main import MainParser
from ramferry.wire.multifd import MultifdParser, State
from ramferry.wire.packets import MAX_DEVICE_STATE, OFFSETS_AT, Initial, RamPacket

_CHUNK: Final = 1 << 20
_LONGEST_VMDESC: Final = 64 << 20
_ANY: Final = 1 << 62
"""Length of a block of which only a channel tells."""


class _Block:
    """Counts of one RAM block."""

    def __init__(self, size: int, page_size: int) -> None:
        self.size = size
        self.page_size = page_size
        self.pages = self.zero = self.repeated = self.payload = 0
        self._seen = np.zeros(size // page_size if size < _ANY else 0, bool)

    def take(self, normal: NDArray[np.uint64], zero: NDArray[np.uint64], payload: int) -> None:
        """Count one packet's pages."""
        self.pages += len(normal)
        self.zero += len(zero)
        self.payload += payload
        rows = np.concatenate([normal, zero]) // np.uint64(self.page_size)
        if len(self._seen):
            self.repeated += int(np.count_nonzero(self._seen[rows]))
            self._seen[rows] = True

    def told(self, name: str) -> InspectedBlock:
        """The counts as they are."""
        size = 0 if self.size == _ANY else self.size
        content = self.pages * self.page_size
        ratio = content / self.payload if self.payload else 0.0
        return InspectedBlock(name, size, self.pages, self.zero, self.repeated, self.payload, ratio)


class _Blocks(dict[str, _Block]):
    """By name; one that main did not tell of is made when a channel names it."""

    def __init__(self, page_size: int) -> None:
        super().__init__()
        self.page_size = page_size
        self.lengths: dict[str, int] = {}

    def __missing__(self, name: str) -> _Block:
        self[name] = block = _Block(_ANY, self.page_size)
        return block


class _AnyLength(dict[str, int]):
    """Used lengths where main was not recorded: nothing is outside."""

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        return _ANY


class _Inspector:
    """Gathers what one or several recordings tell."""

    def __init__(self, page_size: int) -> None:
        self.blocks = _Blocks(page_size)
        self.channels: list[InspectedChannel] = []
        self.machine = ""
        self.rounds = 0
        self.devices: tuple[InspectedDevice, ...] = ()
        self.faults: list[str] = []
        self._main_seen = False

    def main(self, file: BinaryIO, first: bytes) -> None:
        """Read a main channel's recording to its end, or to its first fault."""
        parser = MainParser(page_size=self.blocks.page_size, give_pages=True)
        self._main_seen = True
        tail = bytearray()
        size = 0
        try:
            data = first
            while data:
                size += len(data)
                tail += data
                del tail[:-_LONGEST_VMDESC]
                for event in parser.feed(data):
                    self._main_event(event, tail, size)
                data = file.read(_CHUNK)
            if not parser.eof().certain:
                self.faults.append(f"main: no end of stream within {size} bytes: was it cut?")
        except RemoteProtocolError as error:
            self.faults.append(str(error))
        self.channels.append(InspectedChannel("main", "", size, 0, self.rounds))

    def _main_event(self, event: MainEvent, tail: bytearray, size: int) -> None:
        none = np.empty(0, np.uint64)
        match event:
            case Configuration():
                self.machine = event.machine
            case BlockList():
                for block in event.blocks:
                    self.blocks.page_size = block.page_size
                    self.blocks[block.name] = _Block(block.used_length, block.page_size)
                    self.blocks.lengths[block.name] = block.used_length
            case SyncMark():
                self.rounds += 1
            case ZeroPages():
                self.blocks[event.block].take(none, event.offsets, 0)
            case Page():
                place = np.array([event.offset], np.uint64)
                self.blocks[event.block].take(place, none, len(event.data))
            case EndOfStream() if event.vmdesc_length:
                end = len(tail) - (size - event.end)
                self.devices = devices_of(bytes(tail[end - event.vmdesc_length : end]))

    def channel(self, file: BinaryIO, first: bytes) -> None:
        """Read a multifd channel's recording likewise."""
        parser = MultifdParser(page_size=self.blocks.page_size)
        parser.blocks = self.blocks.lengths if self._main_seen else _AnyLength()
        reader = _Reader(file, first)
        syncs = 0
        try:
            while True:
                piece = parser.want()
                count = reader.fill(piece)
                if count < len(piece):
                    parser.ended(count)
                    break
                packet = parser.filled()
                if isinstance(packet, Initial):
                    parser.channel = f"multifd {packet.channel_id}"
                elif isinstance(packet, RamPacket):
                    syncs += packet.sync
                    self._count(packet)
                if parser.state is State.PAYLOAD and packet is not None:
                    wanted = min(getattr(packet, "payload_size", 0), MAX_DEVICE_STATE)
                    if reader.skip(wanted) < wanted:
                        raise RemoteProtocolError(f"{wanted} bytes of payload", "end of file")
                    parser.payload_done()
        except RemoteProtocolError as error:
            self.faults.append(str(error.at(parser.channel, max(parser.packets - 1, 0))))
        told = (parser.channel, parser.method or "", reader.size, parser.packets, syncs)
        self.channels.append(InspectedChannel(*told))

    def _count(self, packet: RamPacket) -> None:
        if packet.normal or packet.zero:
            count = packet.normal + packet.zero
            offsets = np.frombuffer(packet.header, ">u8", count, OFFSETS_AT).astype(np.uint64)
            normal, zero = offsets[: packet.normal], offsets[packet.normal :]
            self.blocks[packet.block].take(normal, zero, packet.payload_size)

    def told(self, kind: str) -> Inspection:
        """All that was gathered."""
        methods = dict.fromkeys(one.method for one in self.channels if one.method)
        return Inspection(
            kind=kind,
            machine=self.machine,
            page_size=self.blocks.page_size,
            method=", ".join(methods),
            rounds=self.rounds,
            blocks=tuple(block.told(name) for name, block in self.blocks.items()),
            channels=tuple(self.channels),
            devices=self.devices,
            fault="; ".join(self.faults),
        )


class _Reader:
    """A file behind bytes that were read of it already."""

    def __init__(self, file: BinaryIO, first: bytes) -> None:
        self._file = file
        self._first = memoryview(first)
        self.size = 0

    def fill(self, piece: memoryview) -> int:
        """Fill ``piece``; fewer bytes only at the end."""
        filled = 0
        while filled < len(piece):
            data = self._take(len(piece) - filled)
            if not data:
                break
            piece[filled : filled + len(data)] = data
            filled += len(data)
        return filled

    def skip(self, count: int) -> int:
        """Pass over bytes; how many there were."""
        passed = 0
        while passed < count and (data := self._take(min(count - passed, _CHUNK))):
            passed += len(data)
        return passed

    def _take(self, most: int) -> bytes | memoryview:
        data: bytes | memoryview
        if len(self._first):
            data, self._first = self._first[:most], self._first[most:]
        else:
            data = self._file.read(most)
        self.size += len(data)
        return data


def devices_of(text: bytes) -> tuple[InspectedDevice, ...]:
    """The devices of a VM description; none where it is not one."""
    try:
        listed: Iterable[dict[str, Any]] = json.loads(text).get("devices", ())
        return tuple(
            InspectedDevice(
                str(one.get("name", "")),
                int(one.get("instance_id", 0)),
                int(one.get("version", 0)),
                sum(_size(field) for field in one.get("fields", ())),
            )
            for one in listed
        )
    except (ValueError, TypeError, AttributeError):
        return ()


def _size(field: dict[str, Any]) -> int:
    return int(field.get("size", 0)) * int(field.get("array_len", 1))


def inspect(file: BinaryIO, *, page_size: int = 4096) -> Inspection:
    """Look into one recording.

    :param file: open for reading, a pipe too.
    :raise UsageError: it is neither a main channel nor a multifd channel.
    """
    inspector = _Inspector(page_size)
    return inspector.told(_inspect(inspector, file))


def _inspect(inspector: _Inspector, file: BinaryIO) -> str:
    first = file.read(_CHUNK)
    if first.startswith(MAIN_MAGIC):
        inspector.main(file, first)
        return "main stream"
    if first.startswith(MULTIFD_MAGIC):
        inspector.channel(file, first)
        return "multifd channel"
    raise UsageError("this is neither a save file nor a recorded migration channel")


def inspect_folder(folder: Path, *, page_size: int = 4096) -> Inspection:
    """Look into a folder with a recording of each connection: main first, whatever the names.

    :raise UsageError: there is no recording in it.
    :raise HostError: a file cannot be read.
    """
    inspector = _Inspector(page_size)
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
            _inspect(inspector, file)
    return inspector.told("recording")


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
    with Archive(path) as archive:
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
        tail = archive.stream.tail
        start = tail.rfind(b"\x00\x06")
        return Inspection(
            kind="save file",
            machine=directory.machine,
            page_size=directory.page_size,
            method=directory.method,
            rounds=0,
            blocks=tuple(blocks),
            channels=(),
            devices=devices_of(tail[start + 6 :]),
            fault=_first_damage(archive),
        )


def _first_damage(archive: Archive) -> str:
    buffer = memoryview(bytearray(512 * 1024))
    try:
        for batch in archive.batches():
            batch.load(buffer)
    except CorruptDataError as error:
        return str(error)
    return ""
