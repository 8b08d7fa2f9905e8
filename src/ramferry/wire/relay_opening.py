"""The first bytes of every connection between two Ramferrys (``docs/relay-protocol.md``)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ramferry.errors import RemoteProtocolError
from ramferry.wire import grammar, packets
from ramferry.wire.return_path import TLS_ALERT

MAGIC: Final = b"RFRY"
LAYOUT_VERSION: Final = 1
"""Version of these bytes; what is spoken after them is agreed in the hello."""
_LAYOUT: Final = struct.Struct(">4sHBx16s")
OPENING_SIZE: Final = _LAYOUT.size
"""24 bytes."""
TOKEN_SIZE: Final = 16
NO_TOKEN: Final = bytes(TOKEN_SIZE)


class Kind(IntEnum):
    """What a connection is for."""

    CONTROL = 1
    """Begins a migration: a hello follows."""
    MAIN = 2
    MULTIFD = 3
    RESUMED = 4
    """A control connection in place of one that broke."""
    STREAM = 5
    """One of a tunnel's connections: its ``Place`` follows, then pieces (``wire.relay_stream``)."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The opening of one connection, which the side that connects sends."""

    kind: Kind
    token: bytes = NO_TOKEN
    """16 bytes that the acceptor chose for the migration; zeros for ``Kind.CONTROL``."""

    def encode(self) -> bytes:
        """The 24 bytes."""
        return _LAYOUT.pack(MAGIC, LAYOUT_VERSION, self.kind, self.token)


def parse_opening(raw: bytes | bytearray | memoryview) -> Opening:
    """Read the 24 bytes.

    :raise RemoteProtocolError: another magic, an unknown version or kind, or a byte that has to be
        zero and is not.
    """
    magic, version, kind, token = _LAYOUT.unpack(raw)
    if magic != MAGIC:
        raise RemoteProtocolError("a Ramferry", f"bytes {magic.hex()}")
    if version != LAYOUT_VERSION:
        raise RemoteProtocolError(f"opening version {LAYOUT_VERSION}", f"version {version}")
    if raw[7]:
        raise RemoteProtocolError("a zero byte in the opening", f"{raw[7]:#04x}")
    try:
        return Opening(Kind(kind), token)
    except ValueError:
        raise RemoteProtocolError("a known kind of connection", f"kind {kind}") from None


_PLACE: Final = struct.Struct(">BB")
PLACE_SIZE: Final = _PLACE.size
"""2 bytes."""
MOST_STREAMS: Final = 255
"""Most connections of a tunnel."""


@dataclass(frozen=True, slots=True)
class Place:
    """What follows the opening of a tunnel's connection: which of how many it is."""

    index: int
    """Counted from 0."""
    count: int
    """1 to ``MOST_STREAMS``."""

    def encode(self) -> bytes:
        """The 2 bytes."""
        return _PLACE.pack(self.index, self.count)


def parse_place(raw: bytes | bytearray | memoryview) -> Place:
    """Read the 2 bytes.

    :raise RemoteProtocolError: there is no such place.
    """
    index, count = _PLACE.unpack(raw)
    if index >= count:
        raise RemoteProtocolError("a connection of 1 to 255 by its number", f"{index} of {count}")
    return Place(index, count)


TLS_HANDSHAKE: Final = b"\x16\x03"
BEGAN_TLS: Final = (
    "began TLS, and this address is in clear: listen at tls: (a QEMU) or relay: (a Ramferry) with"
    " --tls-creds, since what is encrypted cannot be compressed"
)
_FOR_A_QEMU: Final = "listen for that at tcp:, or at tls: with --tls-creds"
_FOREIGN: Final = (
    (grammar.MAGIC, f"is no Ramferry, but a QEMU's main channel: {_FOR_A_QEMU}"),
    (
        packets.MAGIC.to_bytes(4, "big"),
        f"is no Ramferry, but a QEMU's multifd channel: {_FOR_A_QEMU}",
    ),
    (TLS_HANDSHAKE, BEGAN_TLS),
    (TLS_ALERT, "speaks TLS: give this side --tls-creds"),
    (b"SSH-", "is no Ramferry, but an SSH server or client"),
    (b"HTTP", "is no Ramferry, but a web server"),
    (b"GET ", "is no Ramferry, but a web client"),
    (b'{"QM', "is no Ramferry, but a QMP monitor"),
)


def what_begins_so(first: bytes | bytearray | memoryview) -> str:
    """What is known of a peer that begins a connection with these bytes, at least four, where a
    Ramferry is expected; as what follows "it" in a sentence."""
    begun = bytes(first[:4])
    for magic, what in _FOREIGN:
        if begun.startswith(magic):
            return what
    return f"is no Ramferry, but begins with bytes {begun.hex()}"
