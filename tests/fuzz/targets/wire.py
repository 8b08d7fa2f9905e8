"""QEMU's wire format: multifd channels, main, the return path."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from functools import cache
from itertools import product
from typing import Any, Final

import numpy as np

from fakes_wire import MAIN, Guest, Script
from fuzz.target import Target, chance_of, pieces
from ramferry.errors import RemoteProtocolError
from ramferry.vocabulary import METHOD_FLAGS, PACKET_BYTES
from ramferry.wire.channel_states import ChannelState
from ramferry.wire.events import MainEvent, PageRun, ZeroPages
from ramferry.wire.main import MainParser
from ramferry.wire.multifd import DeviceState, MultifdParser, RamPacket, parse_initial
from ramferry.wire.packets import (
    INITIAL_SIZE,
    MAX_DEVICE_STATE,
    OFFSETS_AT,
    SYNC,
    Initial,
    ram_header,
)
from ramferry.wire.return_path import (
    Pong,
    ReturnPathParser,
    RpEvent,
    Shut,
    SwitchoverAck,
    pong,
    shut,
    switchover_ack,
)
from wire_streams import GOLDEN, begun, command, counted, footer, record, start, vmdesc

PAGE_SIZES: Final = (1024, 4096, 65536)


# --- multifd

BLOCKS: Final = {
    "pc.ram": 256 * 4096,
    "/rom@etc/acpi/tables": 8 * 4096,
    "microvm.ram": 64 << 20,
    "pc.bios": 128 << 10,
}
Seen = tuple[list[Any], str]
"""What a channel held, and the error it ended in; an empty text for none."""


def multifd_samples() -> list[bytes]:
    """Whole channels of the house's own writer, and headers of QEMUs without their payloads."""
    guests = (
        Guest("none", page_size=4096, rounds=1, packets=1, pages=2, channels=1),
        Guest("zstd", page_size=4096, rounds=2, pages=3, zeros=2, channels=1),
        Guest("qatzip", page_size=1024, rounds=1, pages=2, channels=1, device_state=90),
        Guest("qpl", mode="section", rounds=1, sync_on_data=True, stale_size=True, channels=1),
    )
    captured = [path.read_bytes() for path in sorted(GOLDEN.glob("*.headers"))]
    return [Script(guest).stream(0) for guest in guests] + captured


def check_multifd(data: bytes) -> bool:
    """Any split gives the same packets, each of them safe to use and readable when written."""
    accepted = False
    for made in product(PAGE_SIZES, (True, False), (True, False)):
        whole = _channel(data, *made, lambda least, _most: least)
        other = _channel(data, *made, chance_of(data).randint)
        assert whole == other, "a channel that depends on how much was received at once"
        accepted |= not whole[1]
    return accepted


def _channel(
    data: bytes, page_size: int, initial: bool, bare: bool, how_much: Callable[[int, int], int]
) -> Seen:
    """Read a channel.

    :param initial: it begins with its first packet.
    :param bare: there are no payloads, as in the captures.
    """
    parser = MultifdParser(page_size=page_size, initial=initial)
    parser.blocks, at, packets = BLOCKS, 0, []
    try:
        while True:
            least, most = parser.least, min(len(parser.space), len(data) - at)
            if most < least:
                parser.ended(most)
                return packets, ""
            count = how_much(least, most)
            parser.space[:count] = data[at : at + count]
            at += count
            packet = parser.filled(count)
            at = _took(parser, packet, data, at, bare, packets)
    except RemoteProtocolError as error:
        return packets, str(error)


def _took(
    parser: MultifdParser, packet: Any, data: bytes, at: int, bare: bool, packets: list[Any]
) -> int:
    """Note a packet and pass over its payload; where the next header goes on."""
    if isinstance(packet, RamPacket):
        packets.append(_sound(packet, len(parser.space)))
    elif isinstance(packet, DeviceState):
        assert 0 < packet.payload_size <= MAX_DEVICE_STATE
        packets.append((packet.idstr, packet.instance_id, packet.payload_size))
    elif packet is not None:
        packets.append(packet)
    if parser.state is not ChannelState.PAYLOAD or packet is None:
        return at
    begun = len(packet.begun) if isinstance(packet, DeviceState) else 0
    rest = 0 if bare and isinstance(packet, RamPacket) else packet.payload_size - begun
    if at + rest > len(data):
        parser.ended(begun + len(data) - at)
        raise AssertionError("a channel that ends in a payload")
    parser.payload_done()
    return at + rest


def _sound(packet: RamPacket, header: int) -> tuple[Any, ...]:
    """A packet's fields; it names pages inside its block, and is read back as it is written."""
    page_size = PACKET_BYTES * 8 // (header - OFFSETS_AT)
    count = packet.normal + packet.zero
    assert count <= PACKET_BYTES // page_size
    assert bool(packet.payload_size) == bool(packet.normal)
    offsets = np.frombuffer(packet.header, ">u8", count, OFFSETS_AT).astype(np.uint64)
    fields = _fields(packet)
    if count:
        assert packet.method in METHOD_FLAGS
        assert (offsets % page_size == 0).all()
        assert int(offsets.max()) + page_size <= BLOCKS[packet.block]
        raw = ram_header(
            page_size=page_size,
            flags=packet.flags,
            block=packet.block,
            normal=offsets[: packet.normal],
            zero=offsets[packet.normal :],
            payload_size=packet.payload_size,
            packet_num=packet.packet_num,
        )
        parser = MultifdParser(page_size=page_size, initial=False)
        parser.blocks = BLOCKS
        parser.space[:] = raw
        again = parser.filled(len(raw))
        assert isinstance(again, RamPacket)
        assert fields == _fields(again)
    return (*fields, offsets.tobytes())


def _fields(packet: RamPacket) -> tuple[Any, ...]:
    sizes = (packet.normal, packet.zero, packet.payload_size)
    return (packet.flags, *sizes, packet.packet_num, packet.block)


def check_initial(data: bytes) -> bool:
    """A channel's first 64 bytes, which the lobby reads before it knows who is there."""
    raw = data[:INITIAL_SIZE].ljust(INITIAL_SIZE, b"\0")
    try:
        initial = parse_initial(raw)
    except RemoteProtocolError:
        return False
    assert parse_initial(initial.encode()) == initial
    return True


# --- main

_MAPPED: Final = (
    b"\x05\x1aconfiguration/capabilities" + bytes.fromhex("00000001 00000001 0a") + b"mapped-ram"
)


def mapped_ram() -> bytes:
    """A small mapped-ram file, up to the block list's pages and its end."""
    raw = bytes.fromhex("5145564d 00000003 07 00000002") + b"pc" + _MAPPED
    raw += start(2, b"ram", 4) + record(4096 * 2, 0x04) + counted(b"r")
    raw += struct.pack(">QIQQQ", 4096 * 2, 1, 4096, len(raw) + 36, len(raw) + 60) + b"\1" + bytes(7)
    raw = raw + bytes(16) + bytes(8192)
    return (
        raw
        + record(0, 0x10)
        + footer(2)
        + bytes.fromhex("03 00000002")
        + record(0, 0x10)
        + footer(2)
        + vmdesc()
    )


def main_samples() -> list[bytes]:
    """Whole main channels of the house's own writers, and the beginnings of captured ones."""
    guests = (
        Guest(rounds=1, pages=1),
        Guest(channels=0, page_size=1024, rounds=2, pages=2, zeros=3),
        Guest(mode="section", rounds=1, pages=1),
    )
    streams = [begun(rounds=rounds) for rounds in (False, True)]
    for stream in streams:
        stream.ram(record(0, 0x02, counted(b"pc.ram") + b"\0"), record(4096, 0x22, b"\0"))
        stream.add(command(4, bytes(4)), start(7, b"timer", 2, kind=4), b"state", footer(7))
        stream.ram(kind=3)
        stream.add(start(9, b"cpu", 1, kind=4), b"~" * 40, footer(9), vmdesc())
    made = [Script(guest).stream(MAIN) for guest in guests] + [bytes(one.data) for one in streams]
    captured = [path.read_bytes()[:6000] for path in sorted(GOLDEN.glob("*.main"))]
    return [*made, mapped_ram(), *captured]


def check_main(data: bytes) -> bool:
    """Any split gives the same events, one behind the other, whatever the parser was made for."""
    chance = chance_of(data)
    give, mapped = chance.random() < 0.5, chance.choice((None, 0, 0, 0, 4096))
    accepted = False
    for page_size in (1024, 4096):
        made = {"page_size": page_size, "give_pages": give, "mapped_at": mapped}
        whole, cut = _main([data], made), _main(pieces(data, chance), made)
        assert whole[1] == cut[1], "an error that depends on where the stream was cut"
        assert whole[1] or whole[0] == cut[0], "events that depend on where the stream was cut"
        accepted |= not whole[1]
    return accepted


def _main(parts: list[bytes], made: dict[str, Any]) -> tuple[list[Any], str]:
    parser, events, pages = MainParser(**made), [], {}
    end = sum(map(len, parts))
    try:
        for part in map(bytearray, parts):
            for event in parser.feed(part):
                assert 0 <= event.start <= event.end <= end
                _note(event, events, pages)
            part.clear()  # fails where the parser still holds the caller's buffer
        parser.eof()
    except RemoteProtocolError as error:
        return [], str(error)
    return [events, {key: b"".join(parts) for key, parts in pages.items()}], ""


def _note(event: MainEvent, events: list[Any], pages: dict[Any, list[bytes]]) -> None:
    """Keep an event as plain values. Runs of pages may be told in one event or in several."""
    if isinstance(event, ZeroPages | PageRun):
        key = (type(event).__name__, event.block, len(events))
        pages.setdefault(key, []).append(event.offsets.tobytes())
        if isinstance(event, PageRun):
            pages.setdefault((*key, "content"), []).append(bytes(event.content))
    else:
        events.append((type(event).__name__, *map(repr, _values(event))))


def _values(event: MainEvent) -> list[object]:
    return [getattr(event, field.name) for field in dataclasses.fields(event)]


# --- the return path


def return_path_samples() -> list[bytes]:
    """Every message that a destination has."""
    bitmap = struct.pack(">HH", 5, 7) + counted(b"pc.ram") + struct.pack(">Q", 16) + bytes(16)
    bitmap += struct.pack(">Q", 0x0123456789ABCDEF)
    pages = struct.pack(">HHQI", 4, 12, 4096, 4096)
    named = struct.pack(">HHQI", 3, 19, 4096, 4096) + counted(b"pc.ram")
    resume = struct.pack(">HHI", 6, 4, 1)
    return [
        pong(7) + switchover_ack() + shut(),
        pong(1) + pages + named + bitmap + resume + shut(1),
        shut() + b"more",
    ]


def check_return_path(data: bytes) -> bool:
    """Any split gives the same messages; those that Ramferry writes are written as they came."""
    whole, cut = _answers([data]), _answers(pieces(data, chance_of(data)))
    assert whole[1] == cut[1]
    assert whole[1] or whole[0] == cut[0]
    for event in whole[0]:
        raw = _written(event)
        assert raw is None or data[event.start : event.end] == raw
    return not whole[1]


def _answers(parts: list[bytes]) -> tuple[list[RpEvent], str]:
    parser, events = ReturnPathParser(), []
    try:
        for part in parts:
            events += parser.feed(part)
    except RemoteProtocolError as error:
        return [], str(error)
    return events, ""


def _written(event: RpEvent) -> bytes | None:
    match event:
        case Shut():
            return shut(event.error)
        case Pong():
            return pong(event.value)
        case SwitchoverAck():
            return switchover_ack()
    return None


@cache
def targets() -> list[Target]:
    """All of them."""
    words = tuple(
        struct.pack(">I", flags) for flags in (*METHOD_FLAGS.values(), SYNC, 0x40, 0x11223344)
    )
    records = tuple(struct.pack(">Q", flag) for flag in (2, 4, 8, 0x10, 0x20, 0x40, 0x200))
    idstrs = (b"\x03ram", b"\x0cdirty-bitmap", b"\x06pc.ram", b"mapped-ram", b"x-ignore-shared")
    sections = (
        b"\x7e\x00\x00\x00\x02",
        b"\x02\x00\x00\x00\x02",
        b"\x03\x00\x00\x00\x02",
        b"\x00\x06",
    )
    subsections = (b"\x05\x1aconfiguration/capabilities", b"\x05\x1econfiguration/target-page-bits")
    return [
        Target("multifd", check_multifd, multifd_samples, words),
        Target("initial", check_initial, lambda: [Initial(bytes(range(16)), 3).encode()], words),
        Target("main", check_main, main_samples, records + idstrs + sections + subsections),
        Target("return-path", check_return_path, return_path_samples),
    ]
