"""The parser of one multifd channel: what its next bytes are, and whether they may stand there.

It does no I/O and sees no payload: it lends out its own buffer, of which the caller must fill so
much next, and when a header announces a payload, the caller receives those bytes wherever it wants
them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from ramferry.errors import RemoteProtocolError, UsageError
from ramferry.vocabulary import METHOD_FLAGS, PACKET_BYTES, PAGE_SIZE
from ramferry.wire.channel_states import TRANSITIONS, ChannelState, Seen
from ramferry.wire.packets import (
    COMMON_LAYOUT,
    DEVICE_STATE,
    DEVICE_STATE_LAYOUT,
    FLAGS_AT,
    INITIAL_LAYOUT,
    INITIAL_SIZE,
    KNOWN_FLAGS,
    MAGIC,
    MAX_DEVICE_STATE,
    METHOD_MASK,
    METHOD_NAMES,
    OFFSETS_AT,
    RAM_LAYOUT,
    SIZE_AT,
    SYNC,
    VERSION,
    Initial,
    header_size,
)


@dataclass(slots=True)
class RamPacket:
    """A RAM packet's header; its payload, if any, comes next on the wire."""

    flags: int
    normal: int
    """Pages in the payload."""
    zero: int
    """Zero pages, whose offsets come after those of the normal ones (QEMU ≥ 9.0)."""
    payload_size: int
    """Bytes that follow the header: 0 if ``normal`` is 0, even if QEMU left an old size there."""
    packet_num: int
    block: str
    """RAM block of all the packet's pages; empty if it has none."""
    header: memoryview
    """The header's bytes in the parser's buffer: valid until the next ``filled``."""

    @property
    def sync(self) -> bool:
        """True if the packet ends a round on its channel."""
        return bool(self.flags & SYNC)

    @property
    def method(self) -> str:
        """Name of the compression method that the flags carry."""
        return METHOD_NAMES[self.flags & METHOD_MASK]

    def rewrite(self, method: str, payload_size: int) -> None:
        """Make the header announce another method and size, in place.

        Only packets with pages carry method bits, so only those may be rewritten.
        """
        flags = (self.flags & ~METHOD_MASK) | METHOD_FLAGS[method]
        struct.pack_into(">I", self.header, FLAGS_AT, flags)
        struct.pack_into(">I", self.header, SIZE_AT, payload_size)


@dataclass(frozen=True, slots=True)
class DeviceState:
    """Header of a device's state on a multifd channel (VFIO, QEMU ≥ 10.0); opaque payload."""

    idstr: str
    instance_id: int
    payload_size: int
    header: memoryview
    begun: memoryview
    """The first bytes of the payload, and of a trailer, as many as were received with the header;
    both are valid until ``payload_done``."""


Packet = Initial | RamPacket | DeviceState


_PREFIX_SIZE: Final = DEVICE_STATE_LAYOUT.size


def parse_initial(raw: bytes | bytearray | memoryview) -> Initial:
    """Read a channel's first 64 bytes.

    :raise RemoteProtocolError: wrong magic or version.
    """
    magic, version, uuid, channel_id = INITIAL_LAYOUT.unpack(raw)
    _check_common(magic, version)
    return Initial(uuid, channel_id)


class MultifdParser:
    """Reads one channel: fill ``least`` bytes of ``space`` or more, ``filled``, take the payload.

    ``blocks`` maps RAM block names to used lengths in bytes. It may be empty until the first
    packet with pages arrives: the main channel's block list comes before that one.
    """

    def __init__(self, *, page_size: int = PAGE_SIZE, initial: bool = True) -> None:
        self.blocks: Mapping[str, int] = {}
        self.channel = "multifd"
        self.packets = 0
        """Headers read so far; errors name the place by it."""
        self.method: str | None = None
        """The channel's method, known from the first packet with pages."""
        self.mixed = False
        """Whether the method may change from packet to packet."""
        self.check_header: Callable[[memoryview], None] | None = None
        """Called with the bytes of each RAM header before they are read; may change them, and
        raise RemoteProtocolError."""
        self.trailer = 0
        """Bytes that follow a device's payload, and are received with it."""
        self.state = ChannelState.INITIAL if initial else ChannelState.PREFIX
        self.begun = 0
        """Bytes of the header that comes next which are here already."""
        self._device_size = 0
        self._page_size = page_size
        self._buffer = memoryview(bytearray(header_size(page_size)))
        self.space = self._buffer[:INITIAL_SIZE] if initial else self._buffer
        """Where the next header's bytes belong; writing there ends earlier headers."""
        self.least = INITIAL_SIZE if initial else _PREFIX_SIZE
        """Bytes of ``space`` without which nothing can be read. More than these, up to all of it,
        may be filled: what lies behind a short header is its payload, and is not lost."""

    def want(self) -> memoryview:
        """The part of ``space`` that must be filled.

        :raise UsageError: a payload is due, which the caller receives by itself.
        """
        if self.state is ChannelState.PAYLOAD:
            raise UsageError("receive the payload first")
        return self.space[: self.least]

    def filled(self, count: int | None = None) -> Packet | None:
        """Read what was filled: a packet, or None if its header has more to come.

        The payload of a packet before, of RAM, was received.

        :param count: bytes of ``space``, at least ``least``; None: just those.
        :raise RemoteProtocolError: the bytes are not what may stand here.
        """
        self.begun += self.least if count is None else count
        if self.state is ChannelState.PAYLOAD:
            self.state = ChannelState.PREFIX
        try:
            seen, packet = self._read()
        except RemoteProtocolError as error:
            raise error.at(self.channel, self.packets) from None
        self.state = TRANSITIONS[self.state, seen]
        if seen > Seen.RAM_PREFIX:
            self.packets += 1
        if seen is not Seen.RAM_PREFIX:
            # one header more begins; behind a device's lies what came of its payload
            self.begun = 0 if seen is not Seen.DEVICE else self.begun
            self.space, self.least = self._buffer, _PREFIX_SIZE
        return packet

    def payload_done(self) -> None:
        """The payload that the last header announced has been received.

        Has to be said of a device's; of a RAM packet's, ``filled`` knows it.
        """
        if self.begun:
            # what was filled behind a device's payload begins the next header
            end = _PREFIX_SIZE + self._device_size
            rest = max(self.begun - end, 0)
            self._buffer[:rest] = bytes(self._buffer[end : end + rest])
            self.begun = rest
            self.space, self.least = self._buffer[rest:], max(_PREFIX_SIZE - rest, 0)
        self.state = TRANSITIONS[self.state, Seen.PAYLOAD]

    def ended(self, received: int) -> None:
        """The channel ended after ``received`` more bytes of a header, or of a payload.

        :raise RemoteProtocolError: that is in the middle of something.
        """
        if self.state is ChannelState.PREFIX and received + self.begun == 0:
            return
        if self.state is ChannelState.RAM_HEADER:
            received -= _PREFIX_SIZE
        if self.state is not ChannelState.PAYLOAD:
            received += self.begun
        what = self.state.name.lower().replace("_", " ")
        raise RemoteProtocolError(
            f"the rest of the {what}", f"end of stream after {received} bytes"
        ).at(self.channel, self.packets)

    def _read(self) -> tuple[Seen, Packet | None]:
        if self.state is ChannelState.INITIAL:
            return Seen.INITIAL, parse_initial(self._buffer[:INITIAL_SIZE])
        if self.state is ChannelState.PREFIX:
            magic, version, flags = COMMON_LAYOUT.unpack_from(self._buffer)
            _check_common(magic, version)
            if flags & ~KNOWN_FLAGS:
                raise RemoteProtocolError("known packet flags", f"flags {flags:#x}")
            if flags & DEVICE_STATE:
                return Seen.DEVICE, self._device_state(flags)
            if self.begun < len(self._buffer):
                self.space = self._buffer[self.begun :]
                self.least = len(self.space)
                return Seen.RAM_PREFIX, None
        if self.check_header is not None:
            self.check_header(self._buffer)
        packet = self._ram()
        return (Seen.LOADED if packet.payload_size else Seen.EMPTY), packet

    def _device_state(self, flags: int) -> DeviceState:
        header = self._buffer[:_PREFIX_SIZE]
        _, _, _, idstr, instance_id, size = DEVICE_STATE_LAYOUT.unpack(header)
        if flags != DEVICE_STATE:
            raise RemoteProtocolError("DEVICE_STATE alone", f"flags {flags:#x}")
        if not 0 < size <= MAX_DEVICE_STATE:
            raise RemoteProtocolError(f"1 to {MAX_DEVICE_STATE} bytes of device state", str(size))
        self._device_size = size + self.trailer
        begun = self._buffer[_PREFIX_SIZE : min(self.begun, _PREFIX_SIZE + self._device_size)]
        return DeviceState(_name(idstr, "device"), instance_id, size, header, begun)

    def _ram(self) -> RamPacket:
        _, _, flags, alloc, normal, size, number, zero, raw_block = RAM_LAYOUT.unpack_from(
            self._buffer
        )
        pages = self._check_counts(alloc, normal, zero)
        if normal and not size:
            raise RemoteProtocolError(f"a payload for {normal} pages", "next_packet_size 0")
        block = ""
        if pages:
            self._check_method(flags)
            block = _name(raw_block, "RAM block")
            self._check_offsets(block, pages)
        # 7.2 leaves an old size in headers without normal pages
        return RamPacket(flags, normal, zero, size if normal else 0, number, block, self._buffer)

    def _check_counts(self, alloc: int, normal: int, zero: int) -> int:
        full = PACKET_BYTES // self._page_size
        pages = normal + zero
        if alloc != full and (alloc or pages):
            raise RemoteProtocolError(
                f"packets of {full} pages of {self._page_size} bytes", f"packets of {alloc} pages"
            )
        if pages > full:
            raise RemoteProtocolError(f"at most {full} pages", f"{normal} normal, {zero} zero")
        return pages

    def _check_method(self, flags: int) -> None:
        name = METHOD_NAMES.get(flags & METHOD_MASK)
        if name is None:
            raise RemoteProtocolError("one compression method", f"flags {flags:#x}")
        if self.method is None:
            self.method = name
        elif name != self.method and not self.mixed:
            raise RemoteProtocolError(f"method {self.method} as before", f"method {name}")

    def _check_offsets(self, block: str, pages: int) -> None:
        length = self.blocks.get(block)
        if length is None:
            raise RemoteProtocolError("a RAM block of this guest", f"block {block!r}")
        offsets = np.frombuffer(self._buffer, ">u8", pages, OFFSETS_AT)
        highest = int(np.maximum.reduce(offsets))
        if highest > length - self._page_size:
            raise RemoteProtocolError(
                f"offsets inside {block!r} of {length:#x} bytes", f"offset {highest:#x}"
            )
        unaligned = int(np.bitwise_or.reduce(offsets)) & (self._page_size - 1)
        if unaligned:
            raise RemoteProtocolError(
                f"offsets aligned to {self._page_size} bytes", f"low bits {unaligned:#x}"
            )


def _check_common(magic: int, version: int) -> None:
    if magic != MAGIC:
        raise RemoteProtocolError(f"magic {MAGIC:08x}", f"{magic:08x}")
    if version != VERSION:
        raise RemoteProtocolError(f"multifd version {VERSION}", f"version {version}")


def _name(raw: bytes, what: str) -> str:
    """A NUL-padded name; the field must hold at least one NUL."""
    name, nul, _ = raw.partition(b"\0")
    if not nul or not name:
        raise RemoteProtocolError(f"a {what} name", repr(raw[:24]))
    return name.decode("utf-8", "backslashreplace")
