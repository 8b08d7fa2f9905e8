"""The return path: the destination's messages to the source, against the stream's direction.

A message is a u16 type, a u16 length and as many bytes; only RECV_BITMAP has a body outside its
length. Events carry absolute offsets in the return path, like those of the main channel.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ramferry.errors import RemoteProtocolError
from ramferry.wire.source import Parse
from ramferry.wire.stream import StreamParser

CHANNEL: Final = "return path"
"""How errors name this channel."""
MAX_RECV_BITMAP: Final = 1 << 32
"""Ramferry's own limit, in bytes: a bit for each 4 KiB page of a 128 TiB RAM block."""
TLS_ALERT: Final = b"\x15\x03"
"""What somebody who speaks TLS answers to bytes in clear: a record of alerts (RFC 8446 section
5.1)."""
_BY_TLS: Final = "the destination speaks TLS: connect with relay: or tls: and --tls-creds"
_BITMAP_END: Final = 0x0123456789ABCDEF
_HEADER: Final = struct.Struct(">HH")
_PAGES: Final = struct.Struct(">QI")
_WORD: Final = struct.Struct(">HHI")


class MessageType(IntEnum):
    """A message's first two bytes."""

    SHUT = 1
    PONG = 2
    REQ_PAGES_ID = 3
    REQ_PAGES = 4
    RECV_BITMAP = 5
    RESUME_ACK = 6
    SWITCHOVER_ACK = 7


LENGTHS: Final[Mapping[MessageType, Sequence[int]]] = {
    MessageType.SHUT: (4,),
    MessageType.PONG: (4,),
    # u64 offset, u32 length, and a counted name of at least a byte
    MessageType.REQ_PAGES_ID: range(12 + 2, 12 + 256 + 1),
    MessageType.REQ_PAGES: (12,),
    MessageType.RECV_BITMAP: range(2, 256 + 1),
    MessageType.RESUME_ACK: (4,),
    MessageType.SWITCHOVER_ACK: (0,),
}
"""How many bytes each message may have behind its header; QEMU refuses more than 512."""


@dataclass(frozen=True, slots=True)
class RpEvent:
    """Base of all messages; ``start`` and ``end`` are absolute offsets in the return path."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Shut(RpEvent):
    """The destination's last message. With error 0 its guest runs already."""

    error: int


@dataclass(frozen=True, slots=True)
class Pong(RpEvent):
    """Answer to a PING."""

    value: int


@dataclass(frozen=True, slots=True)
class ReqPages(RpEvent):
    """Postcopy: the destination's guest waits for pages."""

    offset: int
    length: int
    """Bytes."""
    block: str
    """Name of the RAM block; empty if it is the one of the previous request."""


@dataclass(frozen=True, slots=True)
class RecvBitmap(RpEvent):
    """Postcopy recovery: which pages of a RAM block have arrived; the bits are not kept."""

    block: str
    size: int
    """Bytes of the bitmap."""


@dataclass(frozen=True, slots=True)
class ResumeAck(RpEvent):
    """Postcopy recovery: the destination is ready to go on."""

    value: int


@dataclass(frozen=True, slots=True)
class SwitchoverAck(RpEvent):
    """The destination agrees to the switchover (capability switchover-ack)."""


def shut(error: int = 0) -> bytes:
    """A SHUT message; error 0 says that the destination has taken the guest over."""
    return _WORD.pack(MessageType.SHUT, 4, error)


def pong(value: int) -> bytes:
    """The PONG that answers a PING with ``value``."""
    return _WORD.pack(MessageType.PONG, 4, value)


def switchover_ack() -> bytes:
    """The SWITCHOVER_ACK that a source with the capability of that name waits for."""
    return _HEADER.pack(MessageType.SWITCHOVER_ACK, 0)


class ReturnPathParser(StreamParser[RpEvent]):
    """Turns the return path's bytes into messages.

    SHUT is the last one: a source reads no further, so what follows it is passed over and cannot
    take it back.
    """

    def __init__(self) -> None:
        super().__init__(CHANNEL)

    def _stream(self) -> Parse[None]:
        source = self._source
        kind = None
        while kind is not MessageType.SHUT:
            start = source.offset
            kind, length = yield from self._header(first=not start)
            data = yield from source.take(length)
            if kind is MessageType.RECV_BITMAP:
                self._emit((yield from self._recv_bitmap(start, data)))
            else:
                self._emit(self._message(kind, start, data))
        while True:
            source.pos = len(source.view)
            yield

    def _header(self, *, first: bool) -> Parse[tuple[MessageType, int]]:
        header = yield from self._source.take(_HEADER.size)
        if first and header.startswith(TLS_ALERT):
            raise RemoteProtocolError("a message", "a TLS alert", channel=CHANNEL).reworded(_BY_TLS)
        number, length = _HEADER.unpack(header)
        kind = next((kind for kind in MessageType if kind == number), None)
        if kind is None:
            self._source.fail(f"a message type up to {max(MessageType)}", f"type {number}")
        allowed = LENGTHS[kind]
        if length not in allowed:
            bounds = " to ".join(str(bound) for bound in sorted({allowed[0], allowed[-1]}))
            self._source.fail(f"{bounds} bytes of {kind.name}", f"{length} bytes")
        return kind, length

    def _message(self, kind: MessageType, start: int, data: bytes) -> RpEvent:
        end = self._source.offset
        match kind:
            case MessageType.SHUT:
                return Shut(start, end, int.from_bytes(data, "big"))
            case MessageType.PONG:
                return Pong(start, end, int.from_bytes(data, "big"))
            case MessageType.RESUME_ACK:
                return ResumeAck(start, end, int.from_bytes(data, "big"))
            case MessageType.SWITCHOVER_ACK:
                return SwitchoverAck(start, end)
        offset, length = _PAGES.unpack_from(data)
        block = self._name(data[_PAGES.size :]) if len(data) > _PAGES.size else ""
        return ReqPages(start, end, offset, length, block)

    def _recv_bitmap(self, start: int, data: bytes) -> Parse[RecvBitmap]:
        block = self._name(data)
        size = yield from self._source.uint(8)
        if size > MAX_RECV_BITMAP:
            self._source.fail(f"at most {MAX_RECV_BITMAP} bytes of bitmap", f"{size} bytes")
        yield from self._source.skip(size)
        mark = yield from self._source.uint(8)
        if mark != _BITMAP_END:
            self._source.fail(f"the bitmap's end mark {_BITMAP_END:016x}", f"{mark:016x}")
        return RecvBitmap(start, self._source.offset, block, size)

    def _name(self, counted: bytes) -> str:
        """Read a RAM block's name: a length byte, the name, and nothing else."""
        if counted[0] != len(counted) - 1:
            self._source.fail(f"a name of {len(counted) - 1} bytes", f"length {counted[0]}")
        return counted[1:].decode("utf-8", "backslashreplace")
