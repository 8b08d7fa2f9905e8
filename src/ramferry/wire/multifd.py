"""The parser of one multifd channel: what its next bytes are, and whether they may stand there.

It does no I/O and sees no payload: it lends out the piece of its own buffer that the caller must
fill next, and when a header announces a payload, the caller receives those bytes wherever it wants
them and says when it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

import numpy as np

from ramferry.errors import RemoteProtocolError, UsageError
from ramferry.wire.packets import (
    COMMON_LAYOUT,
    DEVICE_STATE,
    DEVICE_STATE_LAYOUT,
    INITIAL_LAYOUT,
    INITIAL_SIZE,
    KNOWN_FLAGS,
    MAGIC,
    MAX_DEVICE_STATE,
    METHOD_MASK,
    METHOD_NAMES,
    OFFSETS_AT,
    PACKET_BYTES,
    RAM_LAYOUT,
    VERSION,
    DeviceState,
    Initial,
    Packet,
    RamPacket,
    header_size,
)


class State(Enum):
    """What the next bytes of a channel are."""

    INITIAL = auto()
    PREFIX = auto()
    """The first bytes of a packet, as many as the shortest header has."""
    RAM_HEADER = auto()
    """The rest of a RAM header."""
    PAYLOAD = auto()


class Seen(Enum):
    """What a completed piece turned out to be."""

    INITIAL = auto()
    RAM_PREFIX = auto()
    EMPTY = auto()
    """A header without payload."""
    LOADED = auto()
    """A header with payload."""
    PAYLOAD = auto()


TRANSITIONS: Final[Mapping[tuple[State, Seen], State]] = {
    (State.INITIAL, Seen.INITIAL): State.PREFIX,
    (State.PREFIX, Seen.RAM_PREFIX): State.RAM_HEADER,
    (State.PREFIX, Seen.LOADED): State.PAYLOAD,
    (State.RAM_HEADER, Seen.EMPTY): State.PREFIX,
    (State.RAM_HEADER, Seen.LOADED): State.PAYLOAD,
    (State.PAYLOAD, Seen.PAYLOAD): State.PREFIX,
}
"""Every transition there is; a pair that is not here cannot happen."""


def parse_initial(raw: bytes | bytearray | memoryview) -> Initial:
    """Read a channel's first 64 bytes.

    :raise RemoteProtocolError: wrong magic or version.
    """
    magic, version, uuid, channel_id = INITIAL_LAYOUT.unpack(raw)
    _check_common(magic, version)
    return Initial(uuid, channel_id)


class MultifdParser:
    """Reads one channel; ``want``, fill, ``filled``, and ``payload_done`` after a payload.

    ``blocks`` maps RAM block names to used lengths in bytes. It may be empty until the first
    packet with pages arrives: the main channel's block list comes before that one.
    """

    def __init__(self, *, page_size: int = 4096, initial: bool = True) -> None:
        self.blocks: Mapping[str, int] = {}
        self.channel = "multifd"
        self.packets = 0
        """Headers read so far; names the place in errors."""
        self.method: str | None = None
        """The channel's method, known from the first packet with pages."""
        self.state = State.INITIAL if initial else State.PREFIX
        self._page_size = page_size
        self._buffer = memoryview(bytearray(header_size(page_size)))

    def want(self) -> memoryview:
        """The piece of the parser's buffer to fill next; writing it ends earlier headers.

        :raise UsageError: a payload is due, which the caller receives by itself.
        """
        match self.state:
            case State.INITIAL:
                return self._buffer[:INITIAL_SIZE]
            case State.PREFIX:
                return self._buffer[: DEVICE_STATE_LAYOUT.size]
            case State.RAM_HEADER:
                return self._buffer[DEVICE_STATE_LAYOUT.size :]
        raise UsageError("receive the payload first")

    def filled(self) -> Packet | None:
        """Read the piece that was filled: a packet, or None where its header has more to come.

        :raise RemoteProtocolError: the bytes are not what may stand here.
        """
        try:
            seen, packet = self._read()
        except RemoteProtocolError as error:
            raise error.at(self.channel, self.packets) from None
        if not isinstance(packet, Initial) and packet is not None:
            self.packets += 1
        self.state = TRANSITIONS[self.state, seen]
        return packet

    def payload_done(self) -> None:
        """The payload that the last header announced has been received."""
        self.state = TRANSITIONS[self.state, Seen.PAYLOAD]

    def ended(self, received: int) -> None:
        """The channel ended after ``received`` bytes of the wanted piece.

        :raise RemoteProtocolError: that is in the middle of something.
        """
        if self.state is State.PREFIX and received == 0:
            return
        what = self.state.name.lower().replace("_", " ")
        raise RemoteProtocolError(
            f"the rest of the {what}", f"end of stream after {received} bytes"
        ).at(self.channel, self.packets)

    def _read(self) -> tuple[Seen, Packet | None]:
        if self.state is State.INITIAL:
            return Seen.INITIAL, parse_initial(self._buffer[:INITIAL_SIZE])
        if self.state is State.PREFIX:
            magic, version, flags = COMMON_LAYOUT.unpack_from(self._buffer)
            _check_common(magic, version)
            if flags & ~KNOWN_FLAGS:
                raise RemoteProtocolError("known packet flags", f"flags {flags:#x}")
            if not flags & DEVICE_STATE:
                return Seen.RAM_PREFIX, None
            return Seen.LOADED, self._device_state(flags)
        packet = self._ram()
        return (Seen.LOADED if packet.payload_size else Seen.EMPTY), packet

    def _device_state(self, flags: int) -> DeviceState:
        header = self._buffer[: DEVICE_STATE_LAYOUT.size]
        _, _, _, idstr, instance_id, size = DEVICE_STATE_LAYOUT.unpack(header)
        if flags != DEVICE_STATE:
            raise RemoteProtocolError("DEVICE_STATE alone", f"flags {flags:#x}")
        if not 0 < size <= MAX_DEVICE_STATE:
            raise RemoteProtocolError(f"1 to {MAX_DEVICE_STATE} bytes of device state", str(size))
        return DeviceState(_name(idstr, "device"), instance_id, size, header)

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
        elif name != self.method:
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
