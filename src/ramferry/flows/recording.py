"""One or several recorded connections, read and counted."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ramferry.errors import RemoteProtocolError
from ramferry.metrics import InspectedBlock, InspectedChannel, InspectedDevice, Inspection
from ramferry.wire.events import (
    BlockList,
    Configuration,
    EndOfStream,
    MainEvent,
    PageRun,
    SyncMark,
    ZeroPages,
)
from ramferry.wire.main import MainParser
from ramferry.wire.multifd import MultifdParser, State
from ramferry.wire.packets import MAX_DEVICE_STATE, OFFSETS_AT, Initial, RamPacket

CHUNK: Final = 1 << 20
"""Bytes read at once."""
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


class Recording:
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
                data = file.read(CHUNK)
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
            case PageRun():
                self.blocks[event.block].take(event.offsets, none, event.content.size)
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
                    continue
                if isinstance(packet, RamPacket):
                    syncs += packet.sync
                    self._count(packet)
                if parser.state is State.PAYLOAD and packet is not None:
                    wanted = min(packet.payload_size, MAX_DEVICE_STATE)
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
        while passed < count and (data := self._take(min(count - passed, CHUNK))):
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
