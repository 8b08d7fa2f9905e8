"""Reads one or several recorded connections, and counts what is in them."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from ramferry.errors import RemoteProtocolError
from ramferry.flows.contracts import check_ram
from ramferry.flows.unwrapping import CHUNK, Stream
from ramferry.metrics.inspection import (
    InspectedBlock,
    InspectedChannel,
    InspectedDevice,
    Inspection,
)
from ramferry.typed import decode
from ramferry.wire.channel_states import ChannelState
from ramferry.wire.events import (
    BlockList,
    Configuration,
    EndOfStream,
    MainEvent,
    MappedBlock,
    PageRun,
    SyncMark,
    ZeroPages,
)
from ramferry.wire.main import MainParser
from ramferry.wire.multifd import MultifdParser, RamPacket
from ramferry.wire.packets import MAX_DEVICE_STATE, OFFSETS_AT, Initial

_LONGEST_VMDESC: Final = 64 << 20
_Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_ANY: Final = 1 << 62
"""Stands for the length of a block that only a channel names."""


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

    def hold(self, present: int) -> None:
        """Count the pages of a mapped-ram file: ``present`` ones have content, the others are
        zero."""
        self.pages, self.payload = present, present * self.page_size
        self.zero = self.size // self.page_size - present

    def told(self, name: str) -> InspectedBlock:
        """The counts as a record."""
        size = 0 if self.size == _ANY else self.size
        content = self.pages * self.page_size
        ratio = content / self.payload if self.payload else 0.0
        return InspectedBlock(name, size, self.pages, self.zero, self.repeated, self.payload, ratio)


class _Blocks(dict[str, _Block]):
    """RAM blocks by name. A block missing from main's list is added when a channel first names
    it."""

    def __init__(self, page_size: int) -> None:
        super().__init__()
        self.page_size = page_size
        self.lengths: dict[str, int] = {}

    def __missing__(self, name: str) -> _Block:
        self[name] = block = _Block(_ANY, self.page_size)
        return block


class _AnyLength(dict[str, int]):
    """Used lengths of blocks if main was not recorded: every block is longer than any offset."""

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        return _ANY


class Recording:
    """Gathers what is in one or several recordings of one migration."""

    def __init__(self, page_size: int) -> None:
        self.blocks = _Blocks(page_size)
        self.channels: list[InspectedChannel] = []
        self.machine = ""
        self.rounds = 0
        self.devices: tuple[InspectedDevice, ...] = ()
        self.faults: list[str] = []
        self.mapped: dict[str, int] = {}
        """Number of pages that a mapped-ram file has, by block."""
        self._main_seen = False

    def main(self, stream: Stream) -> None:
        """Read a main channel's recording to its end, or to its first fault."""
        parser = MainParser(
            page_size=self.blocks.page_size, give_pages=True, mapped_at=stream.offset
        )
        self._main_seen = True
        tail = bytearray()
        size = 0
        try:
            while data := stream.read(CHUNK):
                size += len(data)
                tail += data
                del tail[:-_LONGEST_VMDESC]
                for event in parser.feed(data):
                    self._main_event(event, tail, size)
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
            case MappedBlock():
                self.mapped[event.block] = event.pages
            case BlockList():
                self._take_blocks(event)
            case SyncMark():
                self.rounds += not self.mapped
            case ZeroPages():
                self.blocks[event.block].take(none, event.offsets, 0)
            case PageRun():
                self.blocks[event.block].take(event.offsets, none, event.content.size)
            case EndOfStream() if event.vmdesc_length:
                end = len(tail) - (size - event.end)
                self.devices = devices_of(bytes(tail[end - event.vmdesc_length : end]))

    def _take_blocks(self, event: BlockList) -> None:
        check_ram([block.used_length for block in event.blocks], self.blocks.page_size)
        for block in event.blocks:
            self.blocks.page_size = block.page_size
            self.blocks[block.name] = _Block(block.used_length, block.page_size)
            self.blocks.lengths[block.name] = block.used_length
            if block.name in self.mapped:
                self.blocks[block.name].hold(self.mapped[block.name])

    def channel(self, stream: Stream) -> None:
        """Read a multifd channel's recording to its end, or to its first fault."""
        before = stream.offset
        parser = MultifdParser(page_size=self.blocks.page_size)
        parser.blocks = self.blocks.lengths if self._main_seen else _AnyLength()
        syncs = 0
        try:
            while True:
                piece = parser.want()
                count = stream.fill(piece)
                if count < len(piece):
                    parser.ended(count)
                    break
                packet = parser.filled()
                if isinstance(packet, Initial):
                    parser.channel = packet.name
                    continue
                if isinstance(packet, RamPacket):
                    syncs += packet.sync
                    self._count(packet)
                if parser.state is ChannelState.PAYLOAD and packet is not None:
                    wanted = min(packet.payload_size, MAX_DEVICE_STATE)
                    if stream.skip(wanted) < wanted:
                        raise RemoteProtocolError(f"{wanted} bytes of payload", "end of file")
                    parser.payload_done()
        except RemoteProtocolError as error:
            self.faults.append(str(error.at(parser.channel, max(parser.packets - 1, 0))))
        size = stream.offset - before
        told = (parser.channel, parser.method or "", size, parser.packets, syncs)
        self.channels.append(InspectedChannel(*told))

    def _count(self, packet: RamPacket) -> None:
        if packet.normal or packet.zero:
            count = packet.normal + packet.zero
            offsets = np.frombuffer(packet.header, ">u8", count, OFFSETS_AT).astype(np.uint64)
            normal, zero = offsets[: packet.normal], offsets[packet.normal :]
            self.blocks[packet.block].take(normal, zero, packet.payload_size)

    def told(self, kind: str, wrapping: tuple[str, ...] = ()) -> Inspection:
        """The record of everything that was gathered."""
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
            wrapping=wrapping,
        )


class _Field(msgspec.Struct):
    size: _Number = 0
    array_len: _Number = 1


class _Device(msgspec.Struct):
    name: str = ""
    instance_id: _Number = 0
    version: _Number = 0
    fields: list[_Field] = []


class _Description(msgspec.Struct):
    devices: list[_Device] = []


def devices_of(text: bytes) -> tuple[InspectedDevice, ...]:
    """The devices of a VM description; empty if ``text`` is not one."""
    try:
        listed = decode(text, _Description).devices
    except (ValueError, RecursionError):  # the latter of lists in lists in lists …
        return ()
    return tuple(
        InspectedDevice(
            one.name,
            one.instance_id,
            one.version,
            sum(field.size * field.array_len for field in one.fields),
        )
        for one in listed
    )
